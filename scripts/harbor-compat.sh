#!/usr/bin/env bash
# Whether Harbor itself reads what we write: `scripts/harbor-compat.sh [VERSION]`.
#
# Installs Harbor (the newest, or VERSION) from the Python registry that this machine is configured for, runs example tasks, pulls the experiment and asks
# Harbor: the content digests of the examples are the same, its readers take every file, the API of its viewer gives the same rewards, and `harbor job resume` finds nothing left to do and sums up the same. HARBOR_VENV
# names a virtual environment that has it already. Without a Python of 3.12 or newer the script says so and succeeds. It starts no container: the
# `docker` that Harbor asks for before it resumes is one that says yes.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
cleanup() {
	ODDISH_DATA_DIR=$scratch/data "$scratch/oddish" clean --stop-only >/dev/null 2>&1 || true
	rm -rf "$scratch"
}
trap cleanup EXIT

venv=${HARBOR_VENV:-}
if [[ -z $venv ]]; then
	python=
	for candidate in python3.13 python3.12 python3 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python3; do
		if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
			python=$candidate
			break
		fi
	done
	if [[ -z $python ]]; then
		echo "skipped: no Python of 3.12 or newer is here, or HARBOR_VENV"
		exit 0
	fi
	venv=$scratch/venv
	"$python" -m venv "$venv"
	"$venv/bin/pip" install --quiet "harbor${1:+==$1}"
fi

CGO_ENABLED=0 go build -o "$scratch/oddish" ./cmd/oddish
mkdir "$scratch/tasks" "$scratch/home" "$scratch/bin"
cp -r examples/tasks/hello-file examples/tasks/fix-invoice examples/tasks/stock-room "$scratch/tasks"
cp -r examples/tasks/hello-file "$scratch/tasks/separate"
sed -i -e '1i artifacts = ["/app"]' -e 's|^name = .*|name = "oddish/separate"\nversion = "1.2"|' "$scratch/tasks/separate/task.toml"
printf '\n[verifier.environment.oddish]\nimage = "host"\n' >>"$scratch/tasks/separate/task.toml"
mkdir "$scratch/digests"
cp -r examples/tasks/. "$scratch/digests"
printf '*.txt\n/solution/\n!solve.sh\nsteps/*\n' >"$scratch/digests/stock-room/.gitignore"
export ODDISH_DATA_DIR=$scratch/data ODDISH_API_URL=http://localhost:$((20000 + $$ % 10000))
cd "$scratch"
./oddish run -p tasks -a oracle -a nop --n-trials 2 -E compat --quiet >/dev/null
./oddish pull compat --out jobs/compat --tasks tasks
./oddish check digests --json >digests.json
"$venv/bin/python" - digests.json <<'PYTHON'
import json, sys
from pathlib import Path

from harbor.publisher.packager import Packager

for task in json.load(open(sys.argv[1]))["tasks"]:
    digest = Packager.compute_content_hash(Path(task["path"]))[0]
    assert digest == task["digest"], (task["path"], task["digest"], digest)
PYTHON

printf '#!/bin/sh\nexit 0\n' >bin/docker
chmod +x bin/docker
cat >check.py <<'PYTHON'
import json, sys
from pathlib import Path

from fastapi.testclient import TestClient
from harbor.models.job.config import JobConfig
from harbor.models.job.lock import JobLock, TrialLock
from harbor.models.job.result import JobResult
from harbor.models.trial.config import TrialConfig
from harbor.models.trial.result import TrialResult
from harbor.viewer.server import create_app

job = Path(sys.argv[1])
read = lambda model, path: model.model_validate_json(path.read_text())
read(JobConfig, job / "config.json")
read(JobLock, job / "lock.json")
result = read(JobResult, job / "result.json")
trials = [d for d in job.iterdir() if d.is_dir()]
viewer = TestClient(create_app(job.parent))
get = lambda path: viewer.get(path).raise_for_status().json()
listed = {j["name"]: j for j in get("/api/jobs")["items"]}
assert listed[job.name]["n_completed_trials"] == len(trials) == 16, listed
rewards = {}
for d in trials:
    read(TrialConfig, d / "config.json")
    read(TrialLock, d / "lock.json")
    own = read(TrialResult, d / "result.json").verifier_result.rewards
    seen = get(f"/api/jobs/{job.name}/trials/{d.name}")["verifier_result"]["rewards"]
    assert seen == own, (d.name, seen, own)
    rewards[d.name] = own["reward"]
stats = {name: float(value) for e in result.stats.evals.values() for value, names in e.reward_stats["reward"].items() for name in names}
assert stats == rewards, (stats, rewards)
floats = lambda numbers: {name: float(n) for name, n in numbers.items()}
print(json.dumps({k: {"metrics": [floats(m) for m in e.metrics], "pass_at_k": floats(e.pass_at_k)} for k, e in sorted(result.stats.evals.items())}))
PYTHON
export LITELLM_LOCAL_MODEL_COST_MAP=True HOME=$scratch/home PATH=$scratch/bin:$PATH
"$venv/bin/python" check.py jobs/compat | tee before.json
if ! "$venv/bin/harbor" job resume -p jobs/compat >resume.log 2>&1; then
	cat resume.log >&2
	echo "harbor job resume refuses the folder" >&2
	exit 1
fi
"$venv/bin/python" check.py jobs/compat >after.json
diff before.json after.json
echo "$("$venv/bin/pip" list 2>/dev/null | awk '$1 == "harbor" {print "harbor " $2}') reads, shows and resumes what was pulled"
