"""Whether a text is a unit of UCUM, by its grammar and the units that medicine uses."""

from __future__ import annotations

import re
from functools import lru_cache

_PREFIXES = ("da", *"YZEPTGMkhdcmunpfazy", "Ki", "Mi", "Gi", "Ti")
_METRIC = frozenset(
    """m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L ar t bar u eV
    pc B Np Ci R RAD REM cal dyn erg P St Mx G Gb kat U osm eq Oe Ky ph lmb sb bit By Bd st
    m[Hg] m[H2O] [iU] [IU] [g] [c] [e] [m_e] [Btu] cal_th [Cal] B[SPL] B[V] B[mV] B[uV] B[W] B[kW]
    g% gf bit_s tex""".split()
)
_PLAIN = frozenset(
    """min h d wk mo a mo_j a_j mo_s a_g deg ' '' gon % 10* 10^ [pi] [ppth] [ppm] [ppb] [pptr]
    [in_i] [ft_i] [yd_i] [mi_i] [nmi_i] [in_us] [ft_us] [lb_av] [oz_av] [gr] [lb_tr] [oz_tr]
    [degF] [degR] [pH] [hnsf'U] [arb'U] [USP'U] [PRU] [wood'U] [diop] [p'diop] [Ch] [drp] [MET]
    [gal_us] [qt_us] [pt_us] [foz_us] [cup_us] [tbs_us] [tsp_us] [fth_i] [kn_i] [sin_i] [cin_i]
    [psi] [in_i'Hg] [in_i'H2O] [lbf_av] [HP] [S] [LPF] [HPF] [CFU] [PFU] [bdsk'U] [mclg'U] [tb'U]
    [GPL'U] [MPL'U] [APL'U] [beth'U] [anti'Xa'U] [todd'U] [dye'U] [ka'U] [knk'U] [smgy'U] [FFU]
    [CCID_50] [TCID_50] [EID_50] [Lf] [BAU] [AU] [Amb'a'1'U] [D'ag'U] [m/s2/Hz^0.5] [car_m]
    [NTU] [FNU] bit_s [HPF] [hd_i] [ly] AU""".split()
)
_PART = re.compile(r"\{[^{}]*\}|\([^()]*\)|[./]|(?:\[[^\]]*\]|[^./(){}\[\]])+")
_VISIBLE = re.compile(r"[!-~]+")


@lru_cache(maxsize=4096)
def is_unit(text: str) -> bool:
    """Whether a text is a unit of UCUM.

    >>> [is_unit(unit) for unit in ("mGy.cm", "mm3", "/min", "[hnsf'U]", "{score}", "mm[Hg]")]
    [True, True, True, True, True, True]
    >>> [is_unit(unit) for unit in ("mmHg", "HU", "sec", "mm^3", "cubic mm", "mL/")]
    [False, False, False, False, False, False]
    """
    if not _VISIBLE.fullmatch(text):
        return False
    parts = _PART.findall(text)
    if "".join(parts) != text:
        return False
    wants_term = True
    for number, part in enumerate(parts):
        if part in "./":
            if wants_term and not (part == "/" and number == 0):
                return False
            wants_term = True
        elif part[0] == "{":
            wants_term = False  # an annotation alone is a unit, and one may stand behind each
        elif not wants_term or not _is_term(part):
            return False
        else:
            wants_term = False
    return not wants_term


def _is_term(part: str) -> bool:
    """Whether a part between dots and strokes is a factor, a unit with its power, or a group."""
    if part[0] == "(":
        return is_unit(part[1:-1])
    if part.isdecimal():
        return True
    if part.startswith(("10*", "10^")):
        return part in ("10*", "10^") or re.fullmatch(r"[+-]?\d+", part[3:]) is not None
    name = re.sub(r"[+-]?\d+$", "", part)
    if name in _METRIC or name in _PLAIN or part in _PLAIN:
        return True
    return any(name.startswith(p) and name[len(p) :] in _METRIC for p in _PREFIXES)
