"""The brewery: a multi-user chat where jicofo finds its instances and orders sessions. The only importer of slixmpp."""
