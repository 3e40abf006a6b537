"""Recipes: files of settings that come with tsn, which `--config` takes by their names."""

from pathlib import Path

from tsn.tsn_shared.errors import SettingsError

RECIPES = Path(__file__).with_name("recipes")


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes."""
    return tuple(sorted(path.stem for path in RECIPES.glob("*.toml")))


def find_config(name: Path) -> tuple[Path, str]:
    """Return the file that `--config` names, and what it is in words: a file that is there, else a recipe.

    SettingsError for what is neither.
    """
    if name.exists() and not (name.is_dir() and str(name) in recipe_names()):
        return name, f"file {name}"
    if str(name) in recipe_names():
        return RECIPES / f"{name}.toml", f"recipe {name}"
    raise SettingsError(
        f"--config {name}: there is no such file, and no recipe of that name; there are {', '.join(recipe_names())}"
    )
