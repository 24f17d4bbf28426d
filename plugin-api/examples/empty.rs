//! A plugin that forgot to register an architecture: the host refuses it with a sentence.

plugin_api::export_plugin!();
