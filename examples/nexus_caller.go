// The same as nexus_caller.py, in Go: another team's workflow changes a cluster's plan as one of its steps.
//
//	temporal operator namespace create shop
//	go mod init caller && go mod tidy && go run nexus_caller.go CLUSTER_ID PLAN
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const queue = "rollouts"

// ChangePlan is the input of the operation. MaxPauseS bounds how long clients may be made to wait, in seconds.
type ChangePlan struct {
	ClusterID string  `json:"cluster_id"`
	Plan      string  `json:"plan"`
	MaxPauseS float64 `json:"max_pause_s"`
}

// Result is what an operation did. Changed is false when there was nothing to do.
type Result struct {
	ClusterID string `json:"cluster_id"`
	Changed   bool   `json:"changed"`
	Message   string `json:"message"`
}

// Rollout is a workflow that has more to do than this.
func Rollout(ctx workflow.Context, wanted ChangePlan) (string, error) {
	mpg := workflow.NewNexusClient("mpg", "mpg") // the endpoint, and the service on it
	step := mpg.ExecuteOperation(ctx, "ChangePlan", wanted, workflow.NexusOperationOptions{
		ScheduleToCloseTimeout: time.Hour,
	})
	var result Result
	if err := step.Get(ctx, &result); err != nil {
		return "", err
	}
	return result.Message, nil
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: nexus_caller CLUSTER_ID PLAN")
	}
	c, err := client.Dial(client.Options{
		HostPort:  env("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
		Namespace: env("TEMPORAL_NAMESPACE", "shop"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(Rollout)
	if err := w.Start(); err != nil {
		log.Fatal(err)
	}
	defer w.Stop()
	wanted := ChangePlan{ClusterID: os.Args[1], Plan: os.Args[2], MaxPauseS: 30}
	run, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{TaskQueue: queue}, Rollout, wanted)
	if err != nil {
		log.Fatal(err)
	}
	var message string
	if err := run.Get(context.Background(), &message); err != nil {
		log.Fatal(err)
	}
	fmt.Println(message)
}
