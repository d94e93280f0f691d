#!/usr/bin/env bash
# A Ray cluster inside one Slurm job, and a run on it: the first component of the job is the node of
# the learner, with the GPU, the second the nodes of the workers.
#
#     cluster/make_token.sh                                 # once; your home must be on all nodes
#     sbatch cluster/slurm.sh --config paper-locomotion --run-dir $SCRATCH/first
#
# Arguments go to awac_dist.launch. The run folder must be on a file system that all nodes see.
# Change first: the time, the number of worker nodes, the partitions. Two minutes before the time
# is over the run is asked to end; `--resume` in another job goes on with it.
#SBATCH --job-name=awac_dist
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --nodes=1 --ntasks-per-node=1 --cpus-per-task=8 --mem=32G --gpus-per-node=1
#SBATCH hetjob
#SBATCH --nodes=2 --ntasks-per-node=1 --cpus-per-task=16 --mem=32G
set -euo pipefail

PORT=$((20000 + SLURM_JOB_ID % 20000))       # other people's jobs may share the node
export RAY_AUTH_MODE=token                   # Ray would start open to everybody on the network
export RAY_health_check_period_ms=1000 RAY_health_check_timeout_ms=1000
export RAY_health_check_failure_threshold=3
[ -s ~/.ray/auth_token ] || { echo "no token: run cluster/make_token.sh first" >&2; exit 1; }

head="$(hostname --ip-address | awk '{ print $1 }')"
srun --het-group=0 ray start --block --head --node-ip-address="$head" --port="$PORT" \
    --dashboard-host=127.0.0.1 --num-cpus="$SLURM_CPUS_PER_TASK_HET_GROUP_0" \
    --labels=awac-dist/role=learner &
cluster=($!)
srun --het-group=1 ray start --block --address="$head:$PORT" \
    --num-cpus="$SLURM_CPUS_PER_TASK_HET_GROUP_1" --labels=awac-dist/role=worker &
cluster+=($!)

nodes=$((1 + SLURM_JOB_NUM_NODES_HET_GROUP_1))
export RAY_ADDRESS="$head:$PORT"
python - "$nodes" <<'PYTHON'
import sys, time
import ray

wanted, give_up = int(sys.argv[1]), time.monotonic() + 300
while time.monotonic() < give_up:
    try:
        ray.init(log_to_driver=False)
        break
    except ConnectionError:
        time.sleep(5)
while len([node for node in ray.nodes() if node["Alive"]]) < wanted:
    if time.monotonic() > give_up:
        sys.exit(f"{wanted} nodes did not come within five minutes")
    time.sleep(1)
PYTHON

python -m awac_dist.launch "$@" &
driver=$!
trap 'kill -TERM $driver' TERM
code=0
wait $driver || code=$?
if kill -0 $driver 2> /dev/null; then        # the signal ended the waiting, not the run
    code=0
    wait $driver || code=$?
fi
kill "${cluster[@]}"
exit $code
