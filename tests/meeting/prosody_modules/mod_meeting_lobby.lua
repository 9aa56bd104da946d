-- Tells those whom a members-only room turns away where its lobby is, as Jitsi's mod_muc_lobby_rooms does.
--
-- On a virtual host: announces that there are lobbies. On the MUC component: adds the lobby's address to the refusal of
-- somebody who is not a member, and lets in whoever brings the room's password.

local st = require "util.stanza";
local jid = require "util.jid";

local lobby_domain = module:get_option_string("lobby_muc");

if module:get_host_type() ~= "component" then
	module:add_identity("component", "lobbyrooms", lobby_domain);
	return;
end

local function lobby_of(room)
	return (jid.node(room.jid)) .. "@" .. lobby_domain;
end

local function brings_password(room, stanza)
	local password = room:get_password();
	local join = stanza:get_child("x", "http://jabber.org/protocol/muc");
	return password and join and join:get_child_text("password") == password;
end

module:hook("muc-occupant-pre-join", function (event)
	local room, stanza = event.room, event.stanza;
	local affiliation = room:get_affiliation(stanza.attr.from);
	if not room:get_members_only() or (affiliation and affiliation ~= "none") then
		return;
	end
	if brings_password(room, stanza) then
		room:set_affiliation(true, jid.bare(stanza.attr.from), "member");
		return;
	end
	local reply = st.error_reply(stanza, "auth", "registration-required", nil, room.jid);
	reply:text_tag("lobbyroom", lobby_of(room), { xmlns = "http://jitsi.org/jitmeet" }):up();
	reply:text_tag("lobbyroom", lobby_of(room)); -- older libraries look here
	event.origin.send(reply);
	return true;
end, -4); -- just before the MUC component's own refusal

module:hook("muc-disco#info", function (event)
	if event.room:get_members_only() then
		table.insert(event.form, { name = "muc#roominfo_lobbyroom", label = "Lobby room jid", value = lobby_of(event.room) });
	end
end);
