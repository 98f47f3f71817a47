#!/bin/sh
# Start Prometheus on loopback, told where the worker shows its metrics.
set -eu
mkdir -p /prometheus/targets
printf '[{"targets": ["127.0.0.1:%s"]}]\n' "$MPG_METRICS_PORT" >/prometheus/targets/worker.json
every=${MPG_METRICS_SECONDS%.*}
[ "$every" -gt 0 ] || every=15
sed "s/: 15s\$/: ${every}s/" /etc/mpg/prometheus.yml >/prometheus/prometheus.yml
exec prometheus --config.file=/prometheus/prometheus.yml --storage.tsdb.path=/prometheus/data \
    "--storage.tsdb.retention.time=${MPG_METRICS_DAYS}d" "--web.listen-address=127.0.0.1:$MPG_PROMETHEUS_PORT" \
    --log.level=warn
