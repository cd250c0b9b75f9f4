"""The shell: through the SDK, except for what works on a data folder. Modules here import little until they run."""
