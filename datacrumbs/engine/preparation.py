"""From a verified plan to the image of its program: what has to be done before anything is loaded, and can be ahead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.engine import complaints, kernel_programs, source
from datacrumbs.engine.compiler import CompileError, compiled_program
from datacrumbs.engine.image_store import ImageStore
from datacrumbs.engine.loader import ITERATOR_TARGET, KERNEL_FUNCTIONS
from datacrumbs.engine.method_choice import check_cookies, choose
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.kernel.declared import check_declared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.engine.image import Image
    from datacrumbs.model.plan import Plan
    from datacrumbs.system import SystemConfiguration


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan's program for this kernel.

    Args:
        image: It.
        method: How library functions are attached.
        late: Whether files are attached that programs map later.
        flags: What it was compiled with.
    """

    image: Image
    method: AttachMethod
    late: bool
    flags: Sequence[str]


def prepare(
    plan: Plan,
    configuration: SystemConfiguration,
    state: Path,
    *,
    attach_method: AttachMethod = AttachMethod.AUTO,
    tell: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Compile the program of a plan, or take the one that was kept here or where the site shares them.

    Args:
        plan: A verified plan.
        configuration: Of the host.
        state: Directory for what is kept between runs.
        attach_method: How library functions are attached.
        tell: Takes a line about what takes time, or about a kept program that cannot be used.

    Raises:
        DatacrumbsError: (exit 1) when bcc, headers or type information are missing, or the program does not compile;
            (exit 3) when the plan asks of the kernel for what it does not declare.
    """
    check_declared(plan)
    check_cookies()  # before the compiler, which takes long and would be blamed
    method = choose(attach_method)
    late = bool(configuration.late_files) and kernel_programs.has_libraries(plan)
    flags = source.compiler_flags(plan, method, late=late)
    store = ImageStore(state / "programs", tell, tuple(map(Path, configuration.program_stores)))
    try:
        image = compiled_program(source.assemble(plan), flags, (*KERNEL_FUNCTIONS, ITERATOR_TARGET), store, tell)
    except CompileError as error:
        raise complaints.of_compiler(error, plan, flags) from None
    return Prepared(image, method, late, flags)
