#!/usr/bin/env bash
# Watches the worker Deployment follow the queue on a real cluster.
#
#   KUBECONFIG=… AMQP_URL=amqp://user:password@host:5672/%2f k8s/e2e.sh [overlay]
#
# Applies the overlay (keda by default) to whatever cluster KUBECONFIG names, fills the queue of the pipeline
# `payments` through AMQP_URL, which has to reach the broker that the cluster's programs use, empties it again,
# and fails where the replicas do not follow. The Secret `spillway` and the operators the overlay needs have to be
# there (k8s/README.md).
set -euo pipefail
cd "$(dirname "$0")/.."

overlay=${1:-keda}
namespace=spillway
# At so many a second one worker would need two minutes: the fleet has to grow, on however small a cluster.
events=${EVENTS:-6000}
rate=50
patience=${PATIENCE:-300}

skip() {
    echo "SKIPPED k8s/e2e.sh: $1" >&2
    exit 0
}
fail() {
    echo "FAILED k8s/e2e.sh: $1" >&2
    kubectl --namespace "$namespace" get deployments,scaledobjects,horizontalpodautoscalers,pods >&2 || true
    exit 1
}
[ -n "${KUBECONFIG:-}" ] || skip "no KUBECONFIG: there is no cluster to try it on"
[ -n "${AMQP_URL:-}" ] || skip "no AMQP_URL: nothing to fill the queue through"
command -v kubectl >/dev/null || skip "no kubectl here"
python3 -c 'import pika' 2>/dev/null || skip "python3 has no pika, which fills the queue (pip install pika)"
kubectl version >/dev/null || fail "the cluster does not answer"

replicas() {
    kubectl --namespace "$namespace" get deployment worker --output jsonpath='{.status.replicas}'
}
# wait_for WHAT CONDITION: until the condition holds of the number of replicas.
wait_for() {
    local until=$((SECONDS + patience)) now
    while [ "$SECONDS" -lt "$until" ]; do
        now=$(replicas)
        if [ "${now:-0}" "$2" "$3" ]; then
            echo "$1: ${now:-0} replicas after ${SECONDS} s"
            return
        fi
        sleep 2
    done
    fail "$1: still $(replicas) replicas after $patience s"
}
# Publishes events that the handler takes, straight to the pipeline's queue, each confirmed.
fill() {
    python3 - "$events" <<'PYTHON'
import os, pika, sys, time

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()
run = int(time.time())
for number in range(int(sys.argv[1])):
    event = f"e2e_{run}_{number}"
    body = f'{{"id":"{event}","orderId":"order_{event}","amount":7,"status":"completed"}}'
    now = int(time.time() * 1_000_000)
    properties = pika.BasicProperties(
        message_id=event, delivery_mode=2, content_type="application/json", app_id="spillway",
        headers={"x-envelope": 1, "x-source": "default", "x-received-at": now, "x-attempt": 1},
    )
    channel.basic_publish("spillway.events", "default", body.encode(), properties)
connection.close()
PYTHON
}

kubectl apply --kustomize "k8s/overlays/$overlay"
kubectl --namespace "$namespace" rollout status deployment control --timeout "${patience}s" || fail "control"
kubectl --namespace "$namespace" rollout status deployment worker --timeout "${patience}s" || fail "worker"
if [ "$overlay" = keda ]; then
    kubectl --namespace "$namespace" wait scaledobject worker --for condition=Ready --timeout "${patience}s" ||
        fail "the ScaledObject is not ready"
fi
kubectl --namespace "$namespace" set env deployment worker "SPILLWAY_WORKER_MAX_RATE=$rate"
trap 'kubectl --namespace "$namespace" set env deployment worker SPILLWAY_WORKER_MAX_RATE-' EXIT
kubectl --namespace "$namespace" rollout status deployment worker --timeout "${patience}s" || fail "worker"
wait_for "at rest" -eq 1
echo "filling the queue with $events events"
fill
wait_for "after the flood" -gt 1
wait_for "drained" -eq 1
echo "PASSED k8s/e2e.sh: the workers followed the queue up and down"
