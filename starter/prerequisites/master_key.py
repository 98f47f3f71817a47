"""The master key: whether it is the one that the clusters of this state directory were made with."""

from model.master_key import has_served, load_master_key
from model.secrets import key_id
from model.settings import Settings
from starter.prerequisites.result import OnProgress


def check_master_key(settings: Settings) -> str:
    """Return which key there is. Raises :class:`~model.errors.Refused` when it is missing or another one."""
    path = settings.master_key_file
    if not path.exists() and not has_served(path):
        return "the first 'mpg up' makes it"
    return f"its id is {key_id(load_master_key(path))}"


def ensure_master_key(settings: Settings, on_progress: OnProgress) -> str:
    """Look again: nobody but the operator can bring a key back."""
    return check_master_key(settings)
