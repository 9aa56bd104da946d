-- Tells lib-jitsi-meet which component moderates microphones and cameras, as Jitsi's mod_av_moderation does.

module:add_identity("component", "av_moderation", module:get_option_string("av_moderation_component"));
