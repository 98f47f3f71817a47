#!/bin/sh
# The same as change_plan.py by Temporal's command line.
#   examples/change_plan.sh CLUSTER_ID CLUSTER_NAME PLAN
set -eu
temporal workflow execute \
    --address "${TEMPORAL_ADDRESS:-127.0.0.1:7233}" --namespace "${TEMPORAL_NAMESPACE:-mpg}" \
    --type ChangePlan --task-queue mpg \
    --workflow-id "change-plan/$2/$(date +%s)-$$" --id-reuse-policy RejectDuplicate \
    --static-summary "Change plan of $2 to $3" \
    --search-attribute "MpgClusterId=\"$1\"" --search-attribute "MpgCluster=\"$2\"" \
    --search-attribute 'MpgOrg="personal"' --search-attribute 'MpgOperation="ChangePlan"' \
    --input "{\"cluster_id\": \"$1\", \"plan\": \"$3\"}"
