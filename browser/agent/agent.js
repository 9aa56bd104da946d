/*
 * The gateway's agent in the meeting's page: with what is beside it the only JavaScript of the gateway, and all
 * that it knows of Jitsi Meet's page. Chrome runs it in every document before the document's own scripts.
 *
 * It listens and presses one button; besides what sounds.js and devices.js mend, it changes nothing that the page does.
 * What it uses of the page, besides what these say of themselves:
 *   APP.conference          isLocalAudioMuted, isLocalVideoMuted, muteAudio, muteVideo, getStats, hangup,
 *                           getConnectionState, _room (lib-jitsi-meet's JitsiConference, there before it joins)
 *   APP.connection          lib-jitsi-meet's JitsiConnection, for why it failed
 *   _room.connection        the same; of its XMPP connection, when the server was last heard
 *   _room.isMutedByFocus, isVideoMutedByFocus    the meeting switched us off, not we ourselves
 *   APP.store               redux. Read: the connection's error, whether moderation forbids to unmute, whether we are
 *                           a visitor, whether our hand is up. Dispatched: raising it; closing a dialog; another name
 *   [data-testid="prejoin.joinMeeting"]   the button that joins
 *   localStorage            who we are, as Jibri has always told it
 *   sessionStorage          ours: what of us was muted on purpose, and who we became, should the page load anew
 *   location.hash           `jwt`: the only place where the page looks for a token, beside the URL's query
 */
(() => {
    'use strict';

    if (window !== window.top || window.jibriSipAgent) {
        return;
    }

    const LOOK_MS = 100;
    const LOOK_WHILE_JOINING_MS = 25;
    const FRESH_FRAME_MS = 1000;
    const SETTLE_EVERY_MS = 1000;
    const SETTLE_TRIES = 5;
    const CLICK_EVERY_MS = 1000;
    const KEPT = 'jibriSipKept';
    const JOIN_BUTTON = '[data-testid="prejoin.joinMeeting"]';

    // Why JitsiConference (conference.*) or JitsiConnection (connection.*) failed, as a kind of JoinFailed.
    const FAILURES = {
        'conference.connectionError.accessDenied': 'lobby-denied',
        'conference.connectionError.notAllowed': 'not-allowed',
        'conference.display_name_required': 'name-required',
        'conference.max_users': 'room-full',
        'conference.reservationError': 'not-allowed',
        'connection.notLiveError': 'not-allowed',
        'connection.passwordRequired': 'not-allowed'
    };
    // The library or the page tries again by itself after these.
    const PASSING = [ 'conference.focusDisconnected' ];

    const state = { phase: 'blank', kind: null, error: null, loadError: null, ice: 'new' };
    let visit = null;
    let room = null;
    let connection = null;
    let joined = false;
    let leaving = false;
    let passwordTried = false;
    let clickedAt = -Infinity;
    let muted = { audio: false, video: false };
    let settleTries = 0;
    let settledAt = -Infinity;
    let frames = 0;
    let frameAt = -Infinity;
    let lookedAt = performance.now();

    const signs = window.jibriSipSigns;
    const sounds = window.jibriSipSounds;
    const devices = window.jibriSipDevices;
    const conference = () => (window.APP && window.APP.conference) || null;
    const over = () => [ 'left', 'kicked', 'ended', 'failed', 'password' ].includes(state.phase);

    /** The first end counts; what the library tells while it clears up after it does not. */
    function finish(phase, kind, error) {
        if (!over()) {
            Object.assign(state, { phase, kind: kind || null, error: error ? String(error).slice(0, 200) : null });
        }
    }

    /** Call something of the page's; what it throws, now or later, is not ours to handle. */
    function quietly(action) {
        attempt(null, () => Promise.resolve(action()).catch(() => null));
    }

    function attempt(fallback, action) {
        try {
            const value = action();

            return value === undefined || value === null ? fallback : value;
        } catch {
            return fallback;
        }
    }

    // ---- before the page's own scripts ----------------------------------------------------------------

    function remember(items) {
        for (const [ key, value ] of Object.entries(items)) {
            if (value === null) {
                localStorage.removeItem(key);
            } else {
                localStorage.setItem(key, value);
            }
        }
    }

    function introduce() {
        const login = visit.xmppLogin;

        remember({
            displayname: visit.displayName,
            email: visit.email,
            callStatsUserName: visit.statisticsId,
            // The page escapes HTML in the two above, and again when it shows them; here it does not.
            'features/base/settings': JSON.stringify({ displayName: visit.displayName, email: visit.email || '' }),
            'xmpp_username_override': login && login.user,
            'xmpp_password_override': login && login.password,
            'xmpp_conference_password_override': visit.password
        });
        if (visit.jwt) {
            const token = `jwt=${encodeURIComponent(JSON.stringify(visit.jwt))}`;

            history.replaceState(history.state, '', `${location.href}${location.hash ? '&' : '#'}${token}`);
        }
    }

    function forgetToken() {
        if (visit.jwt) {
            const kept = location.hash.slice(1).split('&').filter(part => !part.startsWith('jwt='));

            history.replaceState(history.state, '', `#${kept.join('&')}`);
        }
    }

    /** True where the visit's secrets may be known: its own site, or the same host turned to https. */
    function atHome() {
        const wanted = new URL(visit.origin);

        return location.origin === visit.origin
            || (location.protocol === 'https:' && wanted.protocol === 'http:' && location.hostname === wanted.hostname);
    }

    function begin(data) {
        if (location.protocol === 'data:') {
            return;
        }
        visit = data;
        if (location.protocol === 'chrome-error:') {
            return;
        }
        state.phase = 'loading';
        if (!atHome()) {
            finish('failed', 'authentication-required', `sent on to ${location.host}`);

            return;
        }
        recall();
        introduce();
        look();
    }

    // ---- watching ---------------------------------------------------------------------------------------

    function look() {
        lookedAt = performance.now();
        attempt(null, watchConnection);
        attempt(null, watchRoom);
        attempt(null, countFrames);
        if (joined) {
            attempt(null, settle);
            attempt(null, () => sounds.listen());
            attempt(null, () => isSettled() && !leaving && !over() && devices.mend(conference(), room));
            attempt(null, showSigns);
        } else {
            attempt(null, pressJoin);
        }
        setTimeout(look, joined ? LOOK_MS : LOOK_WHILE_JOINING_MS);
    }

    function connectionFailed(name, message) {
        if (joined) {
            state.phase = 'reconnecting';
            state.error = name;
        } else {
            finish('failed', FAILURES[name] || 'connection', message ? `${name}: ${message}` : name);
        }
    }

    function watchConnection() {
        const { connection: current, store } = window.APP || {};

        if (current && current !== connection && current.addEventListener) {
            connection = current;
            current.addEventListener('connection.connectionFailed', connectionFailed);
        }
        const failure = store && !joined && attempt(null, () => store.getState()['features/base/connection'].error);

        if (failure && failure.name) {
            connectionFailed(failure.name, failure.message);
        }
    }

    function watchRoom() {
        const current = conference() && conference()._room;

        if (!current || current === room) {
            return;
        }
        room = current;
        Object.assign(state, { phase: 'joining', kind: null, error: null, ice: 'new' });
        joined = false;
        passwordTried = false;
        const on = (event, handler) => current.on(`conference.${event}`,
            (...values) => current === room && handler(...values));

        on('joined', entered);
        on('failed', conferenceFailed);
        on('left', () => finish('left'));
        on('kicked', () => finish('kicked', 'kicked'));
        on('connectionEstablished', () => { state.ice = 'connected'; });
        on('connectionRestored', () => { state.ice = 'connected'; });
        on('connectionInterrupted', () => { state.ice = 'interrupted'; });
        if (attempt(false, () => current.isJoined())) {
            entered();
        }
    }

    function entered() {
        if (joined) {
            return;
        }
        joined = true;
        Object.assign(state, { phase: 'joined', kind: null, error: null });
        forgetToken();
        if (passwordTried && window.APP.store) {
            attempt(null, () => window.APP.store.dispatch({ type: 'HIDE_DIALOG' }));
        }
        tellAddress();
        attempt(null, settle);
    }

    function tellAddress() {
        if (visit.sipAddress) {
            attempt(null, () => {
                room.room.addOrReplaceInPresence('sip_address', { value: visit.sipAddress });
                room.room.sendPresence();
            });
        }
    }

    /** Be somebody else from now on: the call was handed on. */
    function rename(displayName, sipAddress) {
        Object.assign(visit, { displayName, sipAddress });
        keep();
        if (joined) {
            // The page, lest it go by the old name into its next conference (a breakout room); then this conference.
            attempt(null, () => window.APP.store.dispatch({ type: 'SETTINGS_UPDATED', settings: { displayName } }));
            attempt(null, () => room.setDisplayName(displayName));
            tellAddress();
        }
    }

    function conferenceFailed(name, ...details) {
        if (PASSING.includes(name)) {
            state.error = name;
        } else if (name === 'conference.iceFailed') {
            state.ice = 'failed';
        } else if (name === 'conference.passwordRequired') {
            passwordRequired();
        } else if (name === 'conference.connectionError.membersOnly') {
            Object.assign(state, { phase: 'lobby', error: null });
        } else if (name === 'conference.authenticationRequired') {
            // The page asks again every few seconds whether a host has come.
            Object.assign(state, { phase: 'lobby', error: 'waiting for a host' });
        } else if (name === 'conference.destroyed') {
            finish('ended', 'ended', details[0]);
        } else {
            finish('failed', FAILURES[name] || 'connection', name);
        }
    }

    function passwordRequired() {
        if (visit.password && !passwordTried) {
            passwordTried = true;
            // After the page's own listeners.
            setTimeout(() => quietly(() => room.join(visit.password)));
        } else {
            finish('password', visit.password ? 'password-wrong' : 'password-required');
        }
    }

    function pressJoin() {
        const button = !room && document.querySelector(JOIN_BUTTON);

        if (!button || !button.checkVisibility()) {
            return;
        }
        state.phase = 'prejoin';
        const disabled = button.disabled || button.getAttribute('aria-disabled') === 'true';

        if (!disabled && performance.now() - clickedAt > CLICK_EVERY_MS) {
            clickedAt = performance.now();
            button.click();
        }
    }

    // ---- microphone and camera --------------------------------------------------------------------------

    const isMuted = media => attempt(true, () =>
        (media === 'audio' ? conference().isLocalAudioMuted() : conference().isLocalVideoMuted()));
    const mute = (media, off) =>
        (media === 'audio' ? conference().muteAudio(off, false) : conference().muteVideo(off, false));

    /** For when the page loads anew in the middle of this visit. */
    function keep() {
        const { id, displayName, sipAddress } = visit;

        attempt(null, () => sessionStorage.setItem(KEPT, JSON.stringify({ id, displayName, sipAddress, muted })));
    }

    function recall() {
        const kept = attempt({}, () => JSON.parse(sessionStorage.getItem(KEPT)));

        if (kept && kept.id === visit.id) {
            muted = kept.muted;
            Object.assign(visit, { displayName: kept.displayName, sipAddress: kept.sipAddress });
        }
    }

    /** Mute or unmute on purpose. */
    function setMuted(media, off) {
        settleTries = SETTLE_TRIES;
        muted[media] = off;
        keep();
        mute(media, off);
    }

    /** A page that started without devices gets them now. Once we were heard, muting is others' right. */
    function settle() {
        const wrong = [ 'audio', 'video' ].filter(media => isMuted(media) !== muted[media]);

        if (!wrong.length) {
            settleTries = SETTLE_TRIES;
        }
        if (isSettled() || performance.now() - settledAt < SETTLE_EVERY_MS) {
            return;
        }
        settleTries += 1;
        settledAt = performance.now();
        wrong.forEach(media => quietly(() => mute(media, muted[media])));
    }

    const isSettled = () => settleTries >= SETTLE_TRIES;
    const feature = name => attempt({}, () => window.APP.store.getState()[`features/${name}`]);
    const ourselves = () => feature('base/participants').local || {};
    const isHandUp = () => ourselves().raisedHandTimestamp > 0;

    /** Whether a moderator's leave is needed to switch on our 'audio' or 'video'. */
    function isForbidden(media) {
        const moderation = feature('av-moderation');

        return moderation[`${media}ModerationEnabled`] === true && moderation[`${media}UnmuteApproved`] !== true
            && ourselves().role !== 'moderator';
    }

    function raiseHand(up) {
        window.APP.store.dispatch({ type: 'LOCAL_PARTICIPANT_RAISE_HAND', raisedHandTimestamp: up ? Date.now() : 0 });
    }

    /** Switch our 'audio' or 'video' on or off; where we may not switch it on, our hand goes up or down instead. */
    function toggle(media) {
        const off = isMuted(media);

        if (!joined || over()) {
            return null;
        }
        if (feature('visitors').iAmVisitor || (off && isForbidden(media))) {
            raiseHand(!isHandUp());

            return isHandUp() ? 'hand-raised' : 'hand-lowered';
        }
        if (off && isHandUp()) {
            // It was up to ask for this. Jitsi Meet lowers it by audio levels, which we have switched off.
            raiseHand(false);
        }
        setMuted(media, !off);

        return off ? 'unmuted' : 'muted';
    }

    function showSigns() {
        if (isSettled() && !over()) {
            signs.show({ audio: isMuted('audio'), video: isMuted('video'), hand: isHandUp() });
        }
    }

    const drawn = new WeakMap();

    function countFrames() {
        const remote = new Set();

        for (const person of attempt([], () => room.getParticipants())) {
            for (const track of person.getTracks()) {
                remote.add(attempt(null, () => track.getTrack().id));
            }
        }
        for (const video of document.querySelectorAll('video')) {
            const track = attempt(null, () => video.srcObject.getVideoTracks()[0]);

            if (track && remote.has(track.id)) {
                const now = video.getVideoPlaybackQuality().totalVideoFrames;
                const more = now - (drawn.get(video) || 0);

                drawn.set(video, now);
                if (more > 0) {
                    frames += more;
                    frameAt = performance.now();
                }
            }
        }
    }

    // ---- verbs ------------------------------------------------------------------------------------------

    const ICE = { connected: 'connected', completed: 'connected', disconnected: 'interrupted', failed: 'failed' };

    function loadError() {
        if (location.protocol === 'chrome-error:') {
            const code = document.body && document.body.innerText.match(/\bERR_[A-Z0-9_]+/);

            return code ? code[0] : document.readyState === 'complete' ? 'unknown error' : null;
        }
        const status = attempt(0, () => performance.getEntriesByType('navigation')[0].responseStatus);

        if (status >= 400) {
            return `HTTP ${status}`;
        }
        if (!window.isSecureContext) {
            return 'not a secure context: camera and microphone need https (or localhost)';
        }

        return null;
    }

    function bitrates() {
        const { audio = {}, video = {} } = attempt({}, () => conference().getStats().bitrate);

        return [ audio.upload, audio.download, video.upload, video.download ]
            .map(rate => (Number.isFinite(rate) ? rate : null));
    }

    /** Of a telephone (Jigasi) nobody knows whether it is muted. */
    function mayBeHeardOrSeen(participant) {
        return attempt(false, () => (!participant.isAudioMuted() || !participant.isVideoMuted())
            && participant.getProperty('features_jigasi') !== true);
    }

    function report() {
        const app = conference();
        const others = attempt([], () => room.getParticipants())
            .filter(p => !p.isHidden() && !attempt(false, () => p.isHiddenFromRecorder()));
        const live = attempt(null, () => ICE[app.getConnectionState()]);

        return {
            ...state,
            visit: visit && visit.id,
            blank: location.protocol === 'data:',
            loadError: visit ? loadError() : null,
            hasConference: Boolean(app),
            ice: live || state.ice,
            // lib-jitsi-meet asks its server for a sign of life every ten seconds.
            serverSilentMs: attempt(null, () => room.connection.xmpp.connection.getTimeSinceLastSuccess()),
            participants: others.length,
            somebodyUnmuted: others.some(mayBeHeardOrSeen),
            audioMuted: isMuted('audio'),
            videoMuted: isMuted('video'),
            mutedByMeeting: attempt(false, () => room.isMutedByFocus || room.isVideoMutedByFocus),
            handRaised: isHandUp(),
            remoteVideo: performance.now() - frameAt < FRESH_FRAME_MS,
            remoteFrames: frames,
            playedAnew: sounds.playedAnew(),
            openedAnew: devices.openedAnew(),
            bitrates: bitrates(),
            ageMs: performance.now() - lookedAt
        };
    }

    /** Hang up. Out of the room is who has `conference.left`; who was not in it yet is out when the page is done. */
    function leave() {
        const app = conference();
        const current = room;

        leaving = true;
        quietly(() => Promise.resolve(app ? app.hangup(false) : current && current.leave())
            .finally(() => joined || finish('left')));
    }

    const agent = Object.freeze({
        begin,
        state: report,
        leave,
        rename,
        setMuted,
        toggle
    });

    Object.defineProperty(window, 'jibriSipAgent', { value: agent });
})();
