"""Jibri's configuration, turned into ours: `import_files`, then `write` or `render`."""

from jibri_sip.config.jibri_conf.fates import Setting, Verdict
from jibri_sip.config.jibri_conf.files import write
from jibri_sip.config.jibri_conf.importer import DeploymentUnknown, Imported, import_files, report
from jibri_sip.config.jibri_conf.toml_text import render

__all__ = ["DeploymentUnknown", "Imported", "Setting", "Verdict", "import_files", "render", "report", "write"]
