"""torch's compiler is loaded when something is compiled, and is then what it always is."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from tests.training.test_lazy_torchmetrics import BY_LIGHTNING, BY_US, printed

LOADED = "print('torch._dynamo.convert_frame' in sys.modules, 'sympy' in sys.modules)\n"
STEP = """
import torch
layer = torch.nn.Linear(3, 2)
for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop):
    optimizer = kind(layer.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        layer(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
torch.optim.lr_scheduler.StepLR(optimizer, 1).step()
"""
COMPILED = """
import torch
from lightning_fabric.wrappers import _unwrap_compiled
from pytorch_lightning.utilities.compile import to_uncompiled
layer = torch.nn.Linear(3, 2)
compiled = torch.compile(layer, backend='eager')
images = torch.ones(4, 3)
print(torch.equal(compiled(images), layer(images)))
from torch._dynamo import OptimizedModule
print(type(compiled) is OptimizedModule, isinstance(compiled, torch._dynamo.OptimizedModule))
print(_unwrap_compiled(compiled)[0] is layer, _unwrap_compiled(layer)[0] is layer)
"""


def test_a_training_step_of_any_optimizer_does_not_load_it() -> None:
    assert printed(BY_US + STEP + LOADED) == ["False False"]


@pytest.mark.parametrize("start", [BY_US, BY_LIGHTNING, BY_US + STEP], ids=["us", "them", "steps"])
def test_what_is_compiled_is_the_true_thing(start: str) -> None:
    assert printed(start + COMPILED + LOADED) == ["True", "True True", "True True", "True True"]


def test_lightning_knows_a_compiled_module_by_the_stand_in() -> None:
    code = (
        "import torch\n"
        "from pytorch_lightning.utilities import compile\n"
        "from pipeline.training.lazy_dynamo import OptimizedModule\n"
        "print(compile.OptimizedModule is OptimizedModule)\n"
        "layer = torch.nn.Linear(3, 2)\n"
        "print(isinstance(layer, OptimizedModule), issubclass(torch.nn.Linear, OptimizedModule))\n"
        "compiled = torch.compile(layer)\n"
        "print(isinstance(compiled, OptimizedModule))\n"
        "print(issubclass(type(compiled), OptimizedModule))\n"
        "print(isinstance(layer, OptimizedModule))\n"
    )
    assert printed(BY_US + code) == ["True", "False False", "True", "True", "False"]


def test_compiled_code_leaves_alone_what_was_marked_before() -> None:
    code = (
        "import torch\n"
        "calls = []\n"
        "@torch.compiler.disable\n"
        "def marked(x):\n"
        "    calls.append(torch.compiler.is_compiling())\n"
        "    return x + 1\n"
        f"{LOADED}"
        "print(marked(1), marked.__name__)\n"
        "compiled = torch.compile(lambda x: marked(x * 2) * 3, backend='eager')\n"
        "print(compiled(torch.tensor(2.0)).item(), calls)\n"
    )
    assert printed(BY_US + code) == ["False False", "2 marked", "15.0 [False, False]"]


def test_a_break_that_was_imported_before_breaks_the_graph() -> None:
    code = (
        "import torch\n"
        "from torch._dynamo import graph_break\n"
        f"{LOADED}"
        "import torch._dynamo.testing\n"
        "counter = torch._dynamo.testing.CompileCounter()\n"
        "def broken(x):\n"
        "    x = x + 1\n"
        "    graph_break()\n"
        "    return x * 2\n"
        "print(torch.compile(broken, backend=counter)(torch.tensor(2.0)).item())\n"
        "print(counter.frame_count)\n"
    )
    assert printed(BY_US + code) == ["False False", "6.0", "2"]


@pytest.mark.parametrize(
    "use",
    [
        "import torch._dynamo.config; print(torch._dynamo.config.suppress_errors)",
        "from torch._dynamo import config; print(config.suppress_errors)",
        "from torch._dynamo.utils import counters; print(not isinstance(counters, dict))",
        "print(torch._dynamo.config.suppress_errors)",
        "torch.compiler.reset(); print(False)",
        "print('eager' not in torch._dynamo.list_backends(None))",
        "torch.compiler.disable(torch.nn.Linear(1, 1)); print(False)",
        "torch.compiler.disable()(len); print(False)",
        "print('list_backends' not in dir(torch._dynamo))",
        "torch._dynamo.reset = len; print(torch._dynamo.reset is not len)",
    ],
)
def test_whatever_else_is_used_of_it_loads_it_whole(use: str) -> None:
    assert printed(BY_US + "import torch\n" + use + "\n" + LOADED) == ["False", "True True"]


def test_an_export_finds_it() -> None:
    code = (
        "import torch\n"
        "graph = torch.export.export(torch.nn.Linear(3, 2), (torch.ones(4, 3),))\n"
        "print(graph.module()(torch.ones(4, 3)).shape)\n"
    )
    assert printed(BY_US + STEP + code) == ["torch.Size([4, 2])"]


def test_threads_that_use_it_at_the_same_time_all_get_it() -> None:
    code = (
        "import threading, torch\n"
        "found = []\n"
        "def use(number):\n"
        "    if number % 2:\n"
        "        import torch._dynamo.utils as utils\n"
        "        found.append(utils.counters is not None)\n"
        "    else:\n"
        "        found.append(torch._dynamo.config.suppress_errors is False)\n"
        "threads = [threading.Thread(target=use, args=(i,)) for i in range(6)]\n"
        "[t.start() for t in threads]; [t.join(100) for t in threads]\n"
        "print(found)\n"
    )
    assert printed(BY_US + code) == [str([True] * 6)]


def test_a_thread_that_comes_while_another_loads_it_gets_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The package's code runs, and has not come to the names that have stand-ins."""
    from pipeline.training import lazy_dynamo

    half = ModuleType(lazy_dynamo.PACKAGE)
    vars(half).update(lazy_dynamo._load())
    monkeypatch.setitem(sys.modules, lazy_dynamo.PACKAGE, half)
    assert lazy_dynamo.disable(lambda x: x + 1)(1) == 2
    assert not isinstance(1, lazy_dynamo.OptimizedModule)
    assert not issubclass(int, lazy_dynamo.OptimizedModule)
    lazy_dynamo.graph_break()
