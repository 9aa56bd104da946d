/**
 * `APP.store`: as much of Jitsi Meet's redux state as programs that drive its page look at.
 */
export class Store {
    #state = {
        'features/av-moderation': { audioModerationEnabled: false, videoModerationEnabled: false },
        'features/base/connection': {},
        'features/base/participants': { local: { role: 'none' } },
        'features/visitors': { iAmVisitor: false }
    };
    #room;

    getState() {
        return this.#state;
    }

    dispatch(action) {
        if (action.type === 'LOCAL_PARTICIPANT_RAISE_HAND') {
            const { raisedHandTimestamp } = action;

            this.#room?.setLocalParticipantProperty('raisedHand', raisedHandTimestamp);
            this.#setLocal({ raisedHandTimestamp });
        }
    }

    /** Whether moderation keeps us from switching on a microphone ('audio') or camera ('video'). */
    isForceMuted(media) {
        const moderation = this.#state['features/av-moderation'];

        return moderation[`${media}ModerationEnabled`] && !moderation[`${media}UnmuteApproved`]
            && this.#state['features/base/participants'].local.role !== 'moderator';
    }

    connectionFailed(name, message) {
        this.#set('features/base/connection', { error: { name, message } });
    }

    /** Follow a room of the library. */
    follow(room) {
        const events = JitsiMeetJS.events.conference;
        const moderate = (media, values) => this.#set('features/av-moderation', Object.fromEntries(
            Object.entries(values).map(([ name, value ]) => [ `${media}${name}`, value ])));

        this.#room = room;
        room.on(events.CONFERENCE_JOINED, () => this.#setLocal({ id: room.myUserId(), role: room.getRole() }));
        room.on(events.USER_ROLE_CHANGED, (id, role) => id === room.myUserId() && this.#setLocal({ role }));
        room.on(events.AV_MODERATION_CHANGED, ({ enabled, mediaType }) =>
            moderate(mediaType, { ModerationEnabled: enabled, UnmuteApproved: undefined }));
        room.on(events.AV_MODERATION_APPROVED, ({ mediaType }) => moderate(mediaType, { UnmuteApproved: true }));
        room.on(events.AV_MODERATION_REJECTED, ({ mediaType }) => moderate(mediaType, { UnmuteApproved: false }));
    }

    #setLocal(values) {
        const { local } = this.#state['features/base/participants'];

        this.#set('features/base/participants', { local: { ...local, ...values } });
    }

    #set(feature, values) {
        this.#state = { ...this.#state, [feature]: { ...this.#state[feature], ...values } };
    }
}
