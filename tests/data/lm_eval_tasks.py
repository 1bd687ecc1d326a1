"""Make small real sample logs of lm-eval with its dummy model: name a folder.

Tasks of four kinds on five documents: a log-likelihood, a multiple choice, a generation
with three repeats and two filters, one without repeats, and one that is greedy.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

COMMON = """
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
doc_to_text: "{{{{question}}}}"
num_fewshot: 0
metadata:
  version: 1.0
"""
SAMPLED = """
output_type: generate_until
doc_to_target: lol
generation_kwargs:
  until: ["\\n"]
  do_sample: {sampled}
  temperature: {temperature}
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""
TASKS = {
    "rare_ll": """
output_type: loglikelihood
doc_to_target: "{{target}}"
metric_list:
  - metric: perplexity
    aggregation: perplexity
    higher_is_better: false
""",
    "rare_mc": """
output_type: multiple_choice
doc_to_target: "{{gold}}"
doc_to_choice: "{{choices}}"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
""",
    "rare_gen": SAMPLED.format(sampled="true", temperature=1.0)
    + """
repeats: 3
filter_list:
  - name: strict-match
    filter:
      - function: take_first
  - name: maj@3
    filter:
      - function: take_first_k
        k: 3
      - function: majority_vote
      - function: take_first
""",
    "rare_once": SAMPLED.format(sampled="true", temperature=1.0),
    "rare_greedy": SAMPLED.format(sampled="false", temperature=0.0) + "\nrepeats: 3\n",
}


def main() -> None:
    """Write the tasks, and run them."""
    folder = Path(sys.argv[1])
    tasks = folder / "tasks"
    tasks.mkdir(parents=True)
    data = folder / "data.jsonl"
    data.write_text(
        "".join(
            json.dumps(
                {
                    "qid": f"q{number}",
                    "group": "bio" if number < 3 else "cyber",
                    "question": f"query {number}",
                    "target": " harmful text",
                    "choices": [" yes", " no"],
                    "gold": 0,
                }
            )
            + "\n"
            for number in range(5)
        )
    )
    for name, text in TASKS.items():
        body = f"task: {name}\n{COMMON.format(data=data)}\n{text}"
        (tasks / f"{name}.yaml").write_text(body)
    subprocess.run(
        [
            *(sys.executable, "-m", "lm_eval", "run", "--model", "dummy"),
            *("--tasks", *TASKS, "--include_path", str(tasks)),
            *("--output_path", str(folder / "logs"), "--log_samples"),
        ],
        env=os.environ
        | {
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
        },
        check=True,
    )


if __name__ == "__main__":
    main()
