/**
 * What the page is told: by its address, by config.js and by local storage, as Jitsi Meet reads them.
 */

/** Keys of the configuration that an address may not override: where the page connects to. */
const PROTECTED = new Set([ 'hosts', 'bosh', 'serviceUrl', 'websocketKeepAliveUrl', 'externalConnectUrl' ]);

/** Keys of local storage that `appData.localStorageContent` may set. */
const STORAGE_KEYS = [ 'displayname', 'email', 'callStatsUserName', 'xmpp_username_override', 'xmpp_password_override',
    'xmpp_conference_password_override' ];

const FORBIDDEN_NAMES = new Set([ '__proto__', 'constructor', 'prototype' ]);

function parseJson(text) {
    try {
        return JSON.parse(text);
    } catch {
        return undefined;
    }
}

function decode(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text;
    }
}

/** Name and value of each parameter of a query or hash, decoded, otherwise as they are. */
function parameters(text) {
    return text.replace(/^[#?]/, '').split('&').filter(Boolean).map(part => {
        const split = part.indexOf('=');

        return split < 0 ? [ part, '' ] : [ part.slice(0, split), decode(part.slice(split + 1)) ];
    });
}

function assign(target, path, value) {
    const names = path.split('.');

    if (names.some(name => FORBIDDEN_NAMES.has(name))) {
        return;
    }
    const last = names.pop();
    let place = target;

    for (const name of names) {
        if (typeof place[name] !== 'object' || place[name] === null) {
            place[name] = {};
        }
        place = place[name];
    }
    place[last] = value;
}

/** What Jitsi Meet leaves out of a room's name unless it is percent-encoded; most of it cannot be in an XMPP address. */
const LEFT_OUT = /[:?#[\]@!$&'()*+,;=></"]/g;

/** The room's name for people: the last part of the path. */
export function roomTitle(pathname) {
    return decode((pathname.split('/').filter(Boolean).pop() ?? '').replace(LEFT_OUT, ''));
}

/** The room as Jitsi Meet names it towards the server: normalised, lower case, percent-encoded if not plain ASCII. */
export function backendRoomName(pathname) {
    return encodeURIComponent(roomTitle(pathname).normalize('NFKC').toLowerCase()).toLowerCase();
}

/** Put `appData.localStorageContent` (a JSON string within JSON) into local storage, the known keys only. */
function seedStorage(content) {
    const values = parseJson(content) ?? {};

    for (const key of STORAGE_KEYS) {
        if (typeof values[key] === 'string') {
            localStorage.setItem(key, values[key]);
        }
    }
}

function configFrom(overrides) {
    const config = structuredClone(window.config);

    for (const [ path, value ] of overrides) {
        if (!PROTECTED.has(path.split('.')[0])) {
            assign(config, path, value);
        }
    }

    // Jitsi Meet's trap: prejoin switched off by the address also switches off the first getUserMedia, so that no link
    // can open somebody's camera; the participant joins with no tracks.
    if (overrides.some(([ path, value ]) => path === 'prejoinConfig.enabled' && value === false)) {
        config.disableInitialGUM = true;
    }

    return config;
}

/** Everything the page needs to know before it connects. */
export function readSettings() {
    const hash = parameters(location.hash);
    const hashValues = new Map(hash.map(([ name, text ]) => [ name, parseJson(text) ]));
    const query = Object.fromEntries(parameters(location.search));
    const overrides = [ ...hashValues ].filter(([ name, value ]) => name.startsWith('config.') && value !== undefined)
        .map(([ name, value ]) => [ name.slice('config.'.length), value ]);

    seedStorage(hashValues.get('appData.localStorageContent'));
    const stored = parseJson(localStorage.getItem('features/base/settings')) ?? {};

    return {
        room: backendRoomName(location.pathname),
        title: roomTitle(location.pathname),
        config: configFrom(overrides),
        // JSON in the hash, plain text in the query.
        jwt: hashValues.get('jwt') || query.jwt || null,
        displayName: hashValues.get('userInfo.displayName') ?? stored.displayName
            ?? localStorage.getItem('displayname') ?? '',
        email: hashValues.get('userInfo.email') ?? stored.email ?? localStorage.getItem('email') ?? '',
        cameraLabel: hashValues.get('devices.videoInput'),
        microphoneLabel: hashValues.get('devices.audioInput'),
        login: {
            id: localStorage.getItem('xmpp_username_override'),
            password: localStorage.getItem('xmpp_password_override')
        },
        roomPassword: localStorage.getItem('xmpp_conference_password_override') ?? undefined
    };
}
