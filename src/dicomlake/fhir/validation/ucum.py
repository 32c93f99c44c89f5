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
    [NTU] [FNU] bit_s [HPF] [hd_i] [ly] AU
    %[slope] Ao Bi Gal Lmb [Btu_39] [Btu_59] [Btu_60] [Btu_IT] [Btu_m] [Btu_th] [G] [PNU] [acr_br]
    [acr_us] [bbl_us] [bf_i] [bu_br] [bu_us] [car_Au] [cft_i] [ch_br] [ch_us] [cicero] [cml_i]
    [cr_i] [crd_us] [cyd_i] [didot] [dpt_us] [dqt_us] [dr_ap] [dr_av] [eps_0] [fdr_br] [fdr_us]
    [foz_br] [ft_br] [fth_br] [fth_us] [fur_us] [gal_br] [gal_wi] [gil_br] [gil_us] [h] [hp_C]
    [hp_M] [hp_Q] [hp_X] [in_br] [k] [kn_br] [lb_ap] [lcwt_av] [ligne] [lk_br] [lk_us] [lne]
    [lton_av] [m_p] [mesh_i] [mi_br] [mi_us] [mil_i] [mil_us] [min_br] [min_us] [mu_0] [nmi_br]
    [oz_ap] [pc_br] [pca] [pca_pr] [pied] [pk_br] [pk_us] [pnt] [pnt_pr] [pouce] [pt_br] [pwt_tr]
    [qt_br] [rch_us] [rd_br] [rd_us] [rlk_us] [sc_ap] [sct] [scwt_av] [sft_i] [smi_us] [smoot]
    [srd_us] [ston_av] [stone_av] [syd_i] [twp] [yd_br] [yd_us] a_t atm att b cal_IT cal_[15]
    cal_[20] cal_m circ mho mo_g sph""".split()
)
_PART = re.compile(r"\{[^{}]*\}|\([^()]*\)|[./]|(?:\[[^\]]*\]|[^./(){}\[\]])+")
_VISIBLE = re.compile(r"[ -~]+")


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
            if number and parts[number - 1][0] == "{":
                return False
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
