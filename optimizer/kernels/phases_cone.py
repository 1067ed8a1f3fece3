"""The second-order cone in three dimensions: |(v1, v2)| <= v0.

With the product ``u o v = (u·v, u0 v1 + v0 u1, u0 v2 + v0 u2)`` and the scaling W of
Nesterov and Todd, the symmetric matrix with ``W^-1 s = W z`` for s and z inside the
cone. It is kept as four numbers: ``eta`` and a unit vector w (w0² - w1² - w2² = 1) with
``W = eta [[w0, w'], [w, I + w w' / (1 + w0)]]``, w its last two parts; W^-1 has -w and
1 / eta. After Y. Nesterov, M. Todd: *Self-scaled barriers and interior-point methods
for convex programming*, Mathematics of Operations Research 22(1), 1997.
"""

import math

from numba import njit

Three = tuple[float, float, float]
Scaling = tuple[float, float, float, float]


@njit(cache=True, nogil=True, error_model="numpy")
def det(v0: float, v1: float, v2: float) -> float:
    """Return v0² - v1² - v2², above 0 inside the cone."""
    size = math.hypot(v1, v2)
    return max((v0 - size) * (v0 + size), 1e-30 * v0 * v0)


@njit(cache=True, nogil=True, error_model="numpy")
def scaling(
    s0: float, s1: float, s2: float, z0: float, z1: float, z2: float
) -> Scaling:
    """Return (eta, w0, w1, w2) of two points inside the cone."""
    of_s, of_z = math.sqrt(det(s0, s1, s2)), math.sqrt(det(z0, z1, z2))
    a0, a1, a2 = s0 / of_s, s1 / of_s, s2 / of_s
    b0, b1, b2 = z0 / of_z, z1 / of_z, z2 / of_z
    half = 0.5 / math.sqrt(0.5 * (1.0 + a0 * b0 + a1 * b1 + a2 * b2))
    w1, w2 = (a1 - b1) * half, (a2 - b2) * half
    return math.sqrt(of_s / of_z), math.sqrt(1.0 + w1 * w1 + w2 * w2), w1, w2


@njit(cache=True, nogil=True, error_model="numpy")
def scaled(scale: Scaling, v0: float, v1: float, v2: float) -> Three:
    """Return W v."""
    eta, w0, w1, w2 = scale
    along = w1 * v1 + w2 * v2
    more = v0 + along / (1.0 + w0)
    return eta * (w0 * v0 + along), eta * (v1 + w1 * more), eta * (v2 + w2 * more)


@njit(cache=True, nogil=True, error_model="numpy")
def unscaled(scale: Scaling, v0: float, v1: float, v2: float) -> Three:
    """Return W^-1 v."""
    eta, w0, w1, w2 = scale
    return scaled((1.0 / eta, w0, -w1, -w2), v0, v1, v2)


@njit(cache=True, nogil=True, error_model="numpy")
def product(u: Three, v: Three) -> Three:
    """Return u o v."""
    return (
        u[0] * v[0] + u[1] * v[1] + u[2] * v[2],
        u[0] * v[1] + v[0] * u[1],
        u[0] * v[2] + v[0] * u[2],
    )


@njit(cache=True, nogil=True, error_model="numpy")
def quotient(u: Three, v: Three) -> Three:
    """Return the w with u o w = v, for u inside the cone."""
    along = u[1] * v[1] + u[2] * v[2]
    w0 = (u[0] * v[0] - along) / det(u[0], u[1], u[2])
    return w0, (v[1] - w0 * u[1]) / u[0], (v[2] - w0 * u[2]) / u[0]


@njit(cache=True, nogil=True, error_model="numpy")
def longest(v: Three, d: Three) -> float:
    """Return the greatest a <= 1e9 with v + a d in the cone, v being inside it."""
    # Smallest positive root of (v + a d)'J(v + a d) = A a² + 2 B a + C, C > 0.
    a = d[0] * d[0] - d[1] * d[1] - d[2] * d[2]
    b = v[0] * d[0] - v[1] * d[1] - v[2] * d[2]
    c = det(v[0], v[1], v[2])
    under = b * b - a * c
    if a >= 0.0 and (b >= 0.0 or under < 0.0):
        return 1e9
    below = math.sqrt(max(under, 0.0)) - b
    return min(1e9, c / below) if below > 0.0 else 1e9
