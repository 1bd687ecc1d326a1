#!/usr/bin/env bash
# inspect-ai 0.3.285: where a limit of tokens is passed by the first response of a sample, that
# response is dropped (no choices, an empty completion), and the empty text is scored: the log
# has status "success" and the score "I", though the model answered "yes" as the target wants.
# Read as trials, such samples count as failures to show what is looked for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q inspect-ai==0.3.285
cd "$folder"
env/bin/python - <<'PY'
import sys

import inspect_ai
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes

found = []
for limit in (None, 1):
    response = ModelOutput.from_content("mockllm/model", "yes")
    response.usage = ModelUsage(input_tokens=10, output_tokens=10, total_tokens=20)
    task = Task(
        dataset=[Sample(id=1, input="Say yes.", target="yes")],
        scorer=includes(),
        token_limit=limit,
    )
    model = get_model("mockllm/model", custom_outputs=[response])
    [log] = inspect_ai.eval(task, model=model, display="none", log_dir="logs")
    [sample] = log.samples
    reached = sample.limit and sample.limit.type
    score = sample.scores["includes"].value
    found.append((log.status, reached, sample.output.completion, score))
    print(f"inspect-ai {inspect_ai.__version__}, token_limit={limit}: {found[-1]}")
without, limited = found
sys.exit(
    without != ("success", None, "yes", "C")
    or limited != ("success", "token", "", "I")
)
PY
