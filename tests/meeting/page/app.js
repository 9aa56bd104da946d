/**
 * The page of the embedded meeting: reads its settings, opens the devices, asks whether to join, joins.
 */

import { Conference } from './conference.js';
import { readSettings } from './settings.js';
import { Store } from './store.js';
import { openWhatThereIs } from './tracks.js';
import * as view from './view.js';

async function main() {
    const settings = readSettings();
    const { config } = settings;
    const store = new Store();
    const conference = new Conference(settings, store);

    window.APP = { conference, store };
    view.setTitle(settings.title);
    if (!config.iAmSipGateway && !config.iAmRecorder) {
        view.showToolbar(conference);
    }
    JitsiMeetJS.init(config);
    JitsiMeetJS.setLogLevel('warn');
    const opening = config.disableInitialGUM ? Promise.resolve([]) : openWhatThereIs(settings);

    if (config.prejoinConfig?.enabled ?? true) {
        settings.displayName = await view.askToJoin(settings.displayName);
    }
    conference.join(await opening);
}

main().catch(error => {
    console.error(error);
    view.showScreen('failed', String(error));
});
