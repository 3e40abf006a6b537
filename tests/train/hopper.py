"""What torch.compile would run on a Hopper GPU, compiled on a machine that has none.

AOTAutograd cuts a training step into its forward and backward graphs, as it does on a GPU. Inductor lowers them on fake
CUDA tensors, with a card described to it, and Triton compiles the kernels that it writes down: what a card would refuse
at its first step is refused here. Kernels of libraries (cuDNN, cuBLAS) are left out. Torch is patched for the whole
process: `python -m tests.train.hopper NAME` runs one of STEPS in a process of its own and prints each kernel's outcome.
"""

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch._inductor.config
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.graph import GraphLowering
from torch._inductor.runtime import hints
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.utils._triton import has_triton

CARD = {
    "multi_processor_count": 132,
    "major": 9,
    "regs_per_multiprocessor": 65536,
    "max_threads_per_multi_processor": 2048,
    "warp_size": 32,
}
BLOCKS = {"XBLOCK": 256, "YBLOCK": 16}
"""Sizes of a kernel's block, where on a GPU they are tuned; 64 for the others."""


def main(name: str) -> int:
    """Compile the kernels of a step; 1 if one of them does not compile, or there are none."""
    outcomes: dict[str, str] = {}
    for graph, inputs in graphs_of(STEPS[name]):
        outcomes |= compile_kernels(lowered(graph, inputs))
    for kernel, error in outcomes.items():
        print(f"{kernel}: {error or 'compiles'}")
    return int(any(outcomes.values()) or not outcomes)


def graphs_of(step: Callable[[Callable[..., Any]], Tensor]) -> list[tuple[GraphModule, list[Any]]]:
    """Return the graphs, with inputs that fit them, that a compiled step and its backward pass are made of."""
    found: list[tuple[GraphModule, list[Any]]] = []

    def keep(graph: GraphModule, inputs: list[Any]) -> Any:
        found.append((graph, [x.clone() if isinstance(x, Tensor) else x for x in inputs]))
        return make_boxed_func(graph.forward)

    backend = aot_autograd(
        fw_compiler=keep,
        bw_compiler=keep,
        decompositions=select_decomp_table(),
        partition_fn=min_cut_rematerialization_partition,
    )
    step(lambda function: torch.compile(function, backend=backend, dynamic=False)).backward()  # type: ignore[no-untyped-call]
    return found


def lowered(graph: GraphModule, inputs: list[Any]) -> str:
    """Return the program that Inductor writes for a graph on CUDA."""
    for node in graph.graph.nodes:
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": torch.device("cuda", 0)}
        node.meta.pop("val", None)
    graph.recompile()
    with a_card(), FakeTensorMode(allow_non_fake_inputs=True) as fake:
        there = [
            torch.empty_strided(x.size(), x.stride(), dtype=x.dtype, device="cuda") if isinstance(x, Tensor) else x
            for x in inputs
        ]
        FakeTensorProp(graph, mode=fake).propagate_dont_convert_inputs(*there)
        lowering = GraphLowering(graph, example_inputs=there)
        with DebugContext(), V.set_graph_handler(lowering), V.set_extern_kernel_nodes([]), V.set_fake_mode(fake):
            lowering.run(*there)
            code: Any = lowering.codegen()
    first = code[0] if isinstance(code, tuple) else code
    return str(getattr(first, "value", first))


def compile_kernels(code: str) -> dict[str, str]:
    """Compile each Triton kernel of a program to machine code; return its error by its name, '' for none."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target = GPUTarget("cuda", 90, 32)
    outcomes = {}
    for name, text in re.findall(r"async_compile\.triton\('([^']+)', '''(.*?)'''", code, re.DOTALL):
        module = loaded(name, text.replace("triton_helpers.set_driver_to_gpu()", ""))
        tuner = getattr(module, name)
        signature, constants = dict(tuner.triton_meta["signature"]), dict(tuner.triton_meta.get("constants", {}))
        for argument in tuner.fn.arg_names:
            if signature.setdefault(argument, "constexpr") == "constexpr":
                constants.setdefault(argument, BLOCKS.get(argument, 64))
        source = ASTSource(fn=tuner.fn, signature=signature, constexprs=constants)
        try:
            with a_card():
                made = triton.compile(source, target=target)
            outcomes[name] = "" if "cubin" in made.asm else "no machine code"
        except Exception as error:
            outcomes[name] = (str(error) or repr(error)).strip().splitlines()[-1]
    return outcomes


def loaded(name: str, text: str) -> Any:
    """Import a kernel's program."""
    path = Path(tempfile.mkdtemp()) / f"{name[:60]}.py"
    path.write_text(text, encoding="utf-8")
    spec = spec_from_file_location("kernel", path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = module_from_spec(spec)
    with a_card():
        spec.loader.exec_module(module)
    return module


@contextmanager
def a_card() -> Iterator[None]:
    """Describe a card to torch, Inductor and Triton."""
    import triton
    from triton.backends.compiler import GPUTarget

    properties = SimpleNamespace(
        **CARD,
        name="NVIDIA H200",
        minor=0,
        total_memory=140 << 30,
        shared_memory_per_block_optin=232448,
        L2_cache_size=60 << 20,
        gcnArchName="",
    )
    driver = SimpleNamespace(
        get_current_target=lambda: GPUTarget("cuda", 90, 32),
        get_current_device=lambda: 0,
        get_current_stream=lambda device=0: 0,
        get_device_interface=lambda: torch.cuda,
        get_active_torch_device=lambda: torch.device("cuda", 0),
        get_device_capability=lambda device=0: (9, 0),
    )
    described = {
        "get_device_properties": lambda device=None: properties,
        "current_device": lambda: 0,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "get_device_capability": lambda device=None: (9, 0),
        "_lazy_init": lambda: None,
    }
    with ExitStack() as stack:
        for name, value in described.items():
            stack.enter_context(mock.patch(f"torch.cuda.{name}", value))
        card = hints.DeviceProperties(type="cuda", index=0, cc=90, **CARD)
        stack.enter_context(mock.patch.object(hints.DeviceProperties, "create", staticmethod(lambda device: card)))
        stack.enter_context(mock.patch.object(torch._inductor.config, "compile_threads", 1))
        triton.runtime.driver.set_active(driver)
        has_triton.cache_clear()  # the answer before was that of a machine without a card
        yield


def head(compiled: Callable[[Any], Any]) -> Tensor:
    """Take the default step behind its convolutions: dropout, the last layer, consensus and loss."""
    from tsn.train.network.model import TSN

    backbone = nn.Sequential(nn.Dropout(0.9), nn.Linear(256, 101))
    return _loss(compiled, TSN(backbone), torch.randn(4, 3, 256))


def network(compiled: Callable[[Any], Any]) -> Tensor:
    """Take the default step: VGG16 at 224 pixels, in bf16 and channels last."""
    from tsn.train.network.model import build_model
    from tsn.train.ranks.devices import channels_last

    model = channels_last(build_model("vgg16", num_classes=101, dropout=0.9))
    frames = torch.randn(6, 3, 224, 224).to(memory_format=torch.channels_last)
    return _loss(compiled, model, frames.view(2, 3, 3, 224, 224))


STEPS = {"head": head, "network": network}


def _loss(compiled: Callable[[Any], Any], model: nn.Module, clips: Tensor) -> Tensor:
    from tsn.train.network.dropout import key_dropout
    from tsn.train.scores import clip_losses

    key_dropout(model, seed=2**40 + 3, batch_size=len(clips), device=torch.device("cpu"))
    labels = torch.arange(len(clips))

    def step(clips: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(clips)
        return clip_losses(logits, labels, 0.0).mean()

    loss: Tensor = compiled(step)(clips, labels)
    return loss


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
