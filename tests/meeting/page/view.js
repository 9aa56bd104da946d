/**
 * What is seen: one screen at a time, and in the meeting the picture of one other participant filling the window.
 */

const find = selector => document.querySelector(selector);

/** Show one screen; `message` is for the screens that have something to add. */
export function showScreen(name, message = '') {
    document.body.dataset.screen = name;
    const places = { failed: '#failure', password: '#password-hint', lobby: '#lobby-hint' };

    if (places[name]) {
        find(places[name]).textContent = message;
    }
}

/** The room's name on those screens that show it. */
export function setTitle(title) {
    document.title = title;
    document.querySelectorAll('.room').forEach(element => {
        element.textContent = title;
    });
}

/** Show the toolbar, whose buttons call the methods of `conference` that they are named after. */
export function showToolbar(conference) {
    const toolbar = find('#new-toolbox');

    toolbar.hidden = false;
    toolbar.addEventListener('click', event => {
        const { action } = event.target.dataset;

        if (action) {
            conference[action]();
        }
    });
}

/** Resolves with the name that is given on the prejoin screen when the join button is clicked. */
export function askToJoin(name) {
    find('#premeeting-name-input').value = name;
    showScreen('prejoin');

    return new Promise(resolve => {
        find('[data-testid="prejoin.joinMeeting"]').addEventListener('click', () => {
            showScreen('loading');
            resolve(find('#premeeting-name-input').value);
        }, { once: true });
    });
}

/** Resolves with the password that is typed. */
export function askPassword(hint) {
    const form = find('[data-for=password] form');

    form.reset();
    showScreen('password', hint);

    return new Promise(resolve => {
        form.addEventListener('submit', event => {
            event.preventDefault();
            resolve(form.lockKey.value);
        }, { once: true });
    });
}

/** Resolves with the name that is given on the lobby screen when the knock button is clicked. */
export function askToKnock(name) {
    find('[data-testid="lobby.nameField"]').value = name;
    showScreen('lobby');

    return new Promise(resolve => {
        find('[data-testid="lobby.knockButton"]').addEventListener('click', () => {
            resolve(find('[data-testid="lobby.nameField"]').value);
        }, { once: true });
    });
}

/** Show the conference: the first other participant who sends a picture, else a name, else that nobody is there. */
export function showConference(participants) {
    const video = find('#largeVideo');
    const sender = participants.find(participant => remoteVideo(participant));

    if (sender) {
        const stream = remoteVideo(sender).getOriginalStream();

        if (video.srcObject !== stream) {
            video.srcObject = stream;
        }
        showScreen('meeting');
    } else {
        video.srcObject = null;
        find('#avatar').textContent = participants[0]?.getDisplayName() || 'Guest';
        showScreen(participants.length ? 'avatar' : 'waiting');
    }
}

function remoteVideo(participant) {
    return participant.getTracks().find(track => track.getType() === 'video' && !track.isMuted());
}

/** Sound the remote audio track. */
export function addAudio(track) {
    const element = document.createElement('audio');

    element.id = `remoteAudio_${track.getParticipantId()}-audio-${track.getId()}`;
    element.autoplay = true;
    element.srcObject = track.getOriginalStream();
    find('#audio').append(element);
    track.element = element;
}

/** Take a remote audio track away. */
export function removeAudio(track) {
    track.element?.remove();
}

/** Take all pictures and sounds away. */
export function clearMedia() {
    find('#largeVideo').srcObject = null;
    find('#audio').replaceChildren();
}
