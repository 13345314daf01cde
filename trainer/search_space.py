"""The configurations of version 2 that the search tries."""

from dataclasses import replace
from typing import Final

from trainer.augment import HAND, Augmentation
from trainer.augmented_mlp import AugmentedMLPConfig
from trainer.augmented_svm import AugmentedSVMConfig
from trainer.svm import PUBLISHED_SVMS, SVMConfig

Config = AugmentedMLPConfig | AugmentedSVMConfig

_SOILED: Final = replace(HAND, soiled=0.25, blur=1.2, speckle=0.1, noise=0.35, patch=9)

# Nearly every machine has fewer errors with six copies than with three. Ten were tried: at most two
# errors fewer in two times 1,000, for models and a parity gate that cost `fit` half as much again.
_COPIES: Final = (3, 6)
# x · x of a digit, blurred, is about this.
_SQUARE: Final = 640


def candidates() -> dict[str, list[Config]]:
    """For each model the configurations to compare, simpler ones first: they win a tie.

    Of SVMs as published, then with copies of the images, then with blurred copies.
    """
    return {
        "mlp": list(_mlps()),
        "svm-linear": [
            _plain(SVMConfig(kernel="linear")),
            _plain(SVMConfig(kernel="linear", C=0.01)),
            *_svms([SVMConfig(kernel="linear", C=0.001)]),
            _plain(SVMConfig(kernel="linear", view="smoothed")),
            _plain(SVMConfig(kernel="linear", view="smoothed", C=0.1)),
        ],
        "svm-poly": [
            _plain(PUBLISHED_SVMS["svm-poly"]),
            *_svms([PUBLISHED_SVMS["svm-poly"]]),
            *_svms(
                [_blurred_poly(degree, penalty) for degree, penalty in ((3, 3), (5, 3), (5, 10))]
            ),
        ],
        "svm-rbf": [
            _plain(SVMConfig(kernel="rbf", gamma=2 / 1024, C=10)),
            *_svms([SVMConfig(kernel="rbf", gamma=2 / 1024, C=10)]),
            *_svms(
                [
                    SVMConfig(kernel="rbf", gamma=k / _SQUARE, C=10, view="blurred")
                    for k in (2, 3, 4, 6)
                ]
            ),
        ],
        "svm-sigmoid": [
            _plain(PUBLISHED_SVMS["svm-sigmoid"]),
            *_svms([SVMConfig(kernel="sigmoid", gamma=0.5 / 1024, coef0=-1.5, C=30)]),
            *_svms(
                [_blurred_sigmoid(k, coef0) for k, coef0 in ((1, -2.0), (1.5, -2.5), (2, -3.0))]
            ),
        ],
    }


def _blurred_poly(degree: int, penalty: float) -> SVMConfig:
    return SVMConfig(kernel="poly", gamma=1 / _SQUARE, degree=degree, C=penalty, view="blurred")


def _blurred_sigmoid(k: float, coef0: float) -> SVMConfig:
    return SVMConfig(kernel="sigmoid", gamma=k / _SQUARE, coef0=coef0, C=10, view="blurred")


def _mlps() -> list[AugmentedMLPConfig]:
    base = AugmentedMLPConfig(hidden=(512, 256), augmentation=_SOILED, epochs=250, rejects=0.2)
    return [
        base,
        replace(base, rejects=0.1),
        replace(base, dropout=0.2),
        replace(base, augmentation=replace(_SOILED, soiled=0.15)),
        replace(base, hidden=(768, 384), epochs=200),
    ]


def _plain(machine: SVMConfig) -> AugmentedSVMConfig:
    return AugmentedSVMConfig(machine=machine, augmentation=Augmentation(), copies=0)


def _svms(machines: list[SVMConfig]) -> list[AugmentedSVMConfig]:
    return [
        AugmentedSVMConfig(machine=machine, augmentation=HAND, copies=count)
        for machine in machines
        for count in _COPIES
    ]
