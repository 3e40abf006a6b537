"""What a training's settings leave open is stated once, before it begins, so that what they are recorded in says all.

A network's own input is asked of timm here and never again: evaluation, prediction and export take what was recorded.
"""

from dataclasses import replace

from tsn.tsn_shared.settings import TIMM, TrainSettings


def completed(settings: TrainSettings) -> TrainSettings:
    """Return the settings with segments, input size and normalisation as stated, or as the network's own.

    SettingsError for a model of timm that there is not. Loads timm, and torch with it, for one of those alone.
    """
    size, normalisation = settings.input_pixels, settings.normalisation
    if settings.model.startswith(TIMM):
        from tsn.train.network.timm_models import own_input

        own = own_input(settings.model)
        size, normalisation = settings.input_size or own.size, own.normalisation
    return replace(
        settings,
        num_segments=settings.num_segments or settings.usual_segments,
        input_size=size,
        mean=settings.mean or normalisation.mean,
        std=settings.std or normalisation.std,
    )
