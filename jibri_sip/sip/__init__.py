"""The SIP side: an endpoint on PJSIP, its calls, and what is known of their quality. The only importer of pjsua2."""
