from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Warning(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WARNING_UNSPECIFIED: _ClassVar[Warning]
    WARNING_INVERTED: _ClassVar[Warning]
    WARNING_SEVERAL_GLYPHS: _ClassVar[Warning]
    WARNING_LOW_CONFIDENCE: _ClassVar[Warning]
    WARNING_NOT_A_DIGIT: _ClassVar[Warning]
WARNING_UNSPECIFIED: Warning
WARNING_INVERTED: Warning
WARNING_SEVERAL_GLYPHS: Warning
WARNING_LOW_CONFIDENCE: Warning
WARNING_NOT_A_DIGIT: Warning

class Image(_message.Message):
    __slots__ = ("encoded", "pixels")
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    encoded: bytes
    pixels: bytes
    def __init__(self, encoded: _Optional[bytes] = ..., pixels: _Optional[bytes] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("image", "model", "version", "top_k", "return_pixels")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    RETURN_PIXELS_FIELD_NUMBER: _ClassVar[int]
    image: Image
    model: str
    version: str
    top_k: int
    return_pixels: bool
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., top_k: _Optional[int] = ..., return_pixels: _Optional[bool] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("classification", "model")
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    classification: Classification
    model: ModelVersion
    def __init__(self, classification: _Optional[_Union[Classification, _Mapping]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class ClassifyBatchRequest(_message.Message):
    __slots__ = ("images", "model", "version", "top_k", "return_pixels")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    RETURN_PIXELS_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    model: str
    version: str
    top_k: int
    return_pixels: bool
    def __init__(self, images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., top_k: _Optional[int] = ..., return_pixels: _Optional[bool] = ...) -> None: ...

class ClassifyBatchResponse(_message.Message):
    __slots__ = ("classifications", "model")
    CLASSIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    classifications: _containers.RepeatedCompositeFieldContainer[Classification]
    model: ModelVersion
    def __init__(self, classifications: _Optional[_Iterable[_Union[Classification, _Mapping]]] = ..., model: _Optional[_Union[ModelVersion, _Mapping]] = ...) -> None: ...

class ClassifyStreamResponse(_message.Message):
    __slots__ = ("index", "response", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    response: ClassifyResponse
    error: StreamError
    def __init__(self, index: _Optional[int] = ..., response: _Optional[_Union[ClassifyResponse, _Mapping]] = ..., error: _Optional[_Union[StreamError, _Mapping]] = ...) -> None: ...

class StreamError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("digit", "glyph", "probabilities", "scores", "warnings", "top", "pixels")
    DIGIT_FIELD_NUMBER: _ClassVar[int]
    GLYPH_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    digit: int
    glyph: str
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    scores: _containers.RepeatedScalarFieldContainer[float]
    warnings: _containers.RepeatedScalarFieldContainer[Warning]
    top: _containers.RepeatedCompositeFieldContainer[Candidate]
    pixels: bytes
    def __init__(self, digit: _Optional[int] = ..., glyph: _Optional[str] = ..., probabilities: _Optional[_Iterable[float]] = ..., scores: _Optional[_Iterable[float]] = ..., warnings: _Optional[_Iterable[_Union[Warning, str]]] = ..., top: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., pixels: _Optional[bytes] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("digit", "glyph", "score", "probability")
    DIGIT_FIELD_NUMBER: _ClassVar[int]
    GLYPH_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    digit: int
    glyph: str
    score: float
    probability: float
    def __init__(self, digit: _Optional[int] = ..., glyph: _Optional[str] = ..., score: _Optional[float] = ..., probability: _Optional[float] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("name", "version", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    sha256: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "default_model")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelVersion]
    default_model: str
    def __init__(self, models: _Optional[_Iterable[_Union[ModelVersion, _Mapping]]] = ..., default_model: _Optional[str] = ...) -> None: ...
