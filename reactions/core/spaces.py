"""The settings of each space: ordinary ones, with what the space sets for itself.

So whatever is made from settings works on one space, and knows nothing of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource

from reactions.core.constants import DEFAULT_SPACE
from reactions.core.errors import InvalidArgument, InvalidSettings
from reactions.core.settings_text import values_of, written
from reactions.core.space_settings import (
    MAX_SPACES,
    Spaces,
    SpacesOfEnvironment,
    check_spaces,
    read_spaces,
)


class SpaceSettings(BaseSettings):
    """The field ``spaces``, and the way from the settings of one space to those of another."""

    spaces: Annotated[Spaces, NoDecode] = Field(
        default_factory=dict,
        description="The kinds of things that users react to, such as `post,comment,photo`: at"
        f" most {MAX_SPACES}. The space `post` is always there. Or JSON, with what each sets for"
        ' itself: `{"comment": {"viral_threshold": 500}}`.',
    )
    _space: str = PrivateAttr(DEFAULT_SPACE)
    _own: Mapping[str, Mapping[str, Any]] = PrivateAttr({})
    _default: Self | None = PrivateAttr(None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the variables of spaces together."""
        others = env_settings, dotenv_settings, file_secret_settings
        return init_settings, SpacesOfEnvironment(settings_cls), *others

    @field_validator("spaces", mode="before")
    @classmethod
    def _split_spaces(cls, value: object) -> object:
        return read_spaces(value)

    @field_validator("spaces")
    @classmethod
    def _spaces(cls, value: Spaces) -> Spaces:
        return check_spaces(value)

    @property
    def space(self) -> str:
        """The space that these settings are of."""
        return self._space

    @property
    def space_names(self) -> tuple[str, ...]:
        """Every space, the default one first."""
        return DEFAULT_SPACE, *(self._default or self)._own

    def of_space(self, space: str) -> Self:
        """Return the settings of a space: ordinary ones, with what the space sets for itself.

        Raises:
            InvalidArgument: there is no such space.
        """
        default = self._default or self
        if type(space) is not str or space not in default.space_names:
            names = ", ".join(default.space_names)
            raise InvalidArgument("space", f"one of {names}, as REACTIONS_SPACES says", space)
        if space == DEFAULT_SPACE:
            return default
        made = default.model_copy(update=dict(default._own[space]))
        made._space, made._default = space, default
        return made

    def each_space(self) -> tuple[Self, ...]:
        """Return the settings of every space, the default space first."""
        return tuple(map(self.of_space, self.space_names))

    @property
    def names_types(self) -> bool:
        """Whether reaction_types was set; otherwise the registry alone says which types exist."""
        return "reaction_types" in self.model_fields_set

    def _values_of(self, space: str) -> Mapping[str, Any]:
        """Return what a space sets for itself, as fields hold it, and its schema."""
        values = values_of(written(self), type(self).model_fields)
        own = {"database_schema": f"{values['database_schema']}_{space}", **self.spaces[space]}
        try:
            made = type(self)(**{**values, "spaces": {}, **own})
        except InvalidSettings as error:
            raise InvalidSettings(f"in the space {space}: {error}") from None
        return {field: getattr(made, field) for field in own}
