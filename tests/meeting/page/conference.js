/**
 * `APP.conference`: the surface of Jitsi Meet's page that programs drive it by, on lib-jitsi-meet.
 */

import { openTracks } from './tracks.js';
import * as view from './view.js';

export class Conference {
    audioLevelsMap = {};
    _room = undefined;
    #connection;
    #settings;
    #store;
    #local = {};
    #isInterrupted = false;
    #hasTriedPassword = false;

    constructor(settings, store) {
        this.#settings = settings;
        this.#store = store;
    }

    get roomName() {
        return this.#settings.room;
    }

    /** Everybody, oneself included; throws before there is a room, as Jitsi Meet does. */
    get membersCount() {
        return this._room.getParticipants().length + 1;
    }

    isJoined() {
        return Boolean(this._room?.isJoined());
    }

    getMyUserId() {
        return this._room?.myUserId();
    }

    listMembers() {
        return this._room.getParticipants();
    }

    getParticipantById(id) {
        return this._room?.getParticipantById(id) ?? null;
    }

    getStats() {
        return this._room.connectionQuality.getStats();
    }

    isConnectionInterrupted() {
        return this.#isInterrupted;
    }

    getConnectionState() {
        return this._room?.getConnectionState() ?? null;
    }

    getP2PConnectionState() {
        return this._room?.getP2PConnectionState() ?? null;
    }

    isLocalAudioMuted() {
        return this.#local.audio?.isMuted() ?? true;
    }

    isLocalVideoMuted() {
        return this.#local.video?.isMuted() ?? true;
    }

    muteAudio(mute) {
        return this.#mute('audio', mute);
    }

    muteVideo(mute) {
        return this.#mute('video', mute);
    }

    toggleAudioMuted() {
        return this.muteAudio(!this.isLocalAudioMuted());
    }

    toggleVideoMuted() {
        return this.muteVideo(!this.isLocalVideoMuted());
    }

    useAudioStream(track) {
        return this.#use(track);
    }

    useVideoStream(track) {
        return this.#use(track);
    }

    /** Leave the room and disconnect. */
    async hangup() {
        await this.#leave();
        view.showScreen('left');
    }

    /** Connect, and join with `tracks`. */
    join(tracks) {
        const { config, jwt, login } = this.#settings;
        const events = JitsiMeetJS.events.connection;

        for (const track of tracks) {
            this.#local[track.getType()] = track;
        }
        this.#connection = window.APP.connection = new JitsiMeetJS.JitsiConnection(null, jwt, config);
        if (config.iAmRecorder) {
            this.#connection.addFeature('http://jitsi.org/protocol/jibri');
        }
        this.#connection.addEventListener(events.CONNECTION_ESTABLISHED, () => this.#enter());
        this.#connection.addEventListener(events.CONNECTION_FAILED, (error, message) => {
            this.#store.connectionFailed(error, message);
            view.showScreen('failed', [ error, message ].filter(Boolean).join(': '));
        });
        this.#connection.connect(login.id ? login : {});
    }

    async #mute(kind, mute) {
        const track = this.#local[kind];

        if (!mute && this.#store.isForceMuted(kind)) {
            return;
        }
        if (track) {
            await (mute ? track.mute() : track.unmute());
        } else if (!mute) {
            const [ opened ] = await openTracks([ kind ], this.#settings);

            this.#local[kind] = opened;
            await this._room?.addTrack(opened);
        }
    }

    /** Send this track in place of the one before. */
    async #use(track) {
        const before = this.#local[track.getType()];

        await this._room.replaceTrack(before, track);
        this.#local[track.getType()] = track;
        await before.dispose();
    }

    async #leave({ isOut = false } = {}) {
        view.clearMedia();
        await Promise.allSettled(Object.values(this.#local).map(track => track.dispose()));
        this.#local = {};
        if (this.isJoined() && !isOut) { // the library would wait for an answer that does not come
            await this._room.leave().catch(error => console.warn('leave:', error));
        }
        await this.#connection?.disconnect();
        this._room = undefined;
    }

    async #enter() {
        const { room, config, displayName, email, roomPassword } = this.#settings;

        this._room = this.#connection.initJitsiConference(room, config);
        this.#store.follow(this._room);
        this.#listen(JitsiMeetJS.events.conference);
        for (const track of Object.values(this.#local)) {
            await this._room.addTrack(track);
        }
        this._room.setDisplayName(displayName);
        if (email) {
            this._room.sendCommand('email', { value: email });
        }
        this._room.setReceiverVideoConstraint(config.resolution ?? 720);
        this.#hasTriedPassword = roomPassword !== undefined;
        this._room.join(roomPassword);
    }

    #listen(events) {
        const on = (event, listener) => this._room.on(event, listener);
        const refresh = () => this.isJoined() && view.showConference(this.listMembers());

        for (const event of [ events.CONFERENCE_JOINED, events.USER_JOINED, events.USER_LEFT,
            events.DISPLAY_NAME_CHANGED, events.TRACK_MUTE_CHANGED ]) {
            on(event, refresh);
        }
        on(events.TRACK_ADDED, track => {
            if (!track.isLocal() && track.getType() === 'audio') {
                view.addAudio(track);
            }
            refresh();
        });
        on(events.TRACK_REMOVED, track => {
            view.removeAudio(track);
            refresh();
        });
        on(events.TRACK_AUDIO_LEVEL_CHANGED, (id, level) => {
            this.audioLevelsMap[id] = level;
        });
        on(events.CONNECTION_INTERRUPTED, () => {
            this.#isInterrupted = true;
        });
        on(events.CONNECTION_RESTORED, () => {
            this.#isInterrupted = false;
        });
        on(events.KICKED, async () => {
            await this.#leave({ isOut: true });
            view.showScreen('kicked');
        });
        on(events.CONFERENCE_FAILED, error => this.#failed(error));
    }

    async #failed(error) {
        const errors = JitsiMeetJS.errors.conference;

        switch (error) {
        case errors.PASSWORD_REQUIRED: {
            const password = await view.askPassword(this.#hasTriedPassword ? 'This is not the password.' : '');

            this.#hasTriedPassword = true;
            view.showScreen('loading');
            this._room.join(password);
            break;
        }
        case errors.MEMBERS_ONLY_ERROR:
            await this.#knock();
            break;
        case errors.CONFERENCE_DESTROYED:
            await this.#leave({ isOut: true });
            view.showScreen('ended');
            break;
        default:
            view.showScreen('failed', error);
        }
    }

    /** Go to the lobby: at once when nobody is there to click, else when asked to. */
    async #knock() {
        const { config, displayName, email } = this.#settings;
        const mayKnock = displayName && (config.iAmSipGateway || config.prejoinConfig?.enabled);
        const name = mayKnock ? displayName : await view.askToKnock(displayName);

        view.showScreen('lobby', 'Waiting to be let in…');
        await this._room.joinLobby(name, email);
    }
}
