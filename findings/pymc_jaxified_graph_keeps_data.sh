#!/usr/bin/env bash
# PyMC 6.4.0: get_jaxified_graph takes shared variables (pm.Data) among its inputs without a
# word and ignores what is then given for them: their value at the time of the call is a
# constant of the compiled function. One density for many data sets so answers every data set
# with the first. Putting plain variables in their place with graph_replace first mends it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q pymc==6.4.0 jax==0.12.0.1
cd "$folder"
env/bin/python - <<'PY'
import sys

import numpy as np
import pymc as pm
from pymc.sampling.jax import get_jaxified_graph
from pytensor.graph.replace import graph_replace

with pm.Model() as model:
    data = pm.Data("data", np.zeros(3))
    mean = pm.Normal("mean")
    pm.Normal("seen", mean, observed=data)
unknowns, density = model.value_vars, model.logp()
plain = model["data"].type(name="data")
ignored = get_jaxified_graph(inputs=[*unknowns, model["data"]], outputs=[density])
heeded = get_jaxified_graph(
    inputs=[*unknowns, plain],
    outputs=graph_replace([density], {model["data"]: plain}, strict=False),
)
first, second = np.zeros(3), np.full(3, 10.0)
found = [
    [float(function(0.5, values)[0]) for values in (first, second)]
    for function in (ignored, heeded)
]
print(f"pymc {pm.__version__}: shared variable as input {found[0]}, replaced {found[1]}")
sys.exit(not (found[0][0] == found[0][1] and found[1][0] != found[1][1]))
PY
