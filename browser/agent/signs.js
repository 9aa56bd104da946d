/*
 * What the room is told of itself: that its microphone or its camera is off in the meeting, that its hand is up.
 *
 * A gateway's page shows no toolbar and no tile of our own, so nobody in the room could see it. The signs are drawn
 * over the page, which is what the room sees, for as long as they hold, with the keys that take them away; each change
 * is told by two short tones, rising when something goes on, falling when it goes off, since a telephone sees nothing.
 * The meeting gets neither: it hears the room's microphone and sees its camera, which are other devices.
 */
(() => {
    'use strict';

    if (window !== window.top || window.jibriSipSigns) {
        return;
    }

    const SVG = 'http://www.w3.org/2000/svg';
    const RED = '#ff5a4f';
    const YELLOW = '#ffd24a';
    const SLASH = 'M5 4 L27 28';
    // On a grid of 32 x 32.
    const SIGNS = {
        audio: { keys: '*6', colour: RED, lines: [ SLASH,
            'M16 4 a4 4 0 0 1 4 4 v7 a4 4 0 0 1 -8 0 v-7 a4 4 0 0 1 4 -4 z',
            'M8 14 v1 a8 8 0 0 0 16 0 v-1 M16 23 v5 M11 28 h10' ] },
        video: { keys: '*7', colour: RED, lines: [ SLASH,
            'M5 9 h14 a2 2 0 0 1 2 2 v10 a2 2 0 0 1 -2 2 h-14 a2 2 0 0 1 -2 -2 v-10 a2 2 0 0 1 2 -2 z',
            'M21 14 l8 -4 v12 l-8 -4 z' ] },
        hand: { keys: '', colour: YELLOW, lines: [
            'M10 18 v-9 a2 2 0 0 1 4 0 v6 v-9 a2 2 0 0 1 4 0 v9 v-7 a2 2 0 0 1 4 0 v10 c0 7 -3 10 -8 10 '
                + 'c-4 0 -6 -2 -8 -6 l-3 -6 a2 2 0 0 1 3 -2 z' ] }
    };
    const TONES = { rising: [ 600, 900 ], falling: [ 900, 600 ] };
    const TONE_S = 0.15;
    const LOUDNESS = 0.2;

    let host = null;
    let shown = { audio: false, video: false, hand: false };

    function draw({ keys, colour, lines }) {
        const sign = document.createElement('div');
        const picture = document.createElementNS(SVG, 'svg');

        // A page's policy may forbid style sheets and attributes, but not this.
        Object.assign(sign.style, { display: 'flex', alignItems: 'center', gap: '1vh', padding: '1.2vh 1.6vh',
            borderRadius: '1.6vh', background: 'rgba(16, 24, 32, 0.85)', color: '#ffffff',
            font: 'bold 4vh sans-serif' });
        picture.setAttribute('viewBox', '0 0 32 32');
        Object.assign(picture.style, { width: '6vh', height: '6vh', fill: 'none', stroke: colour, strokeWidth: '2',
            strokeLinecap: 'round', strokeLinejoin: 'round' });
        for (const line of lines) {
            const path = document.createElementNS(SVG, 'path');

            path.setAttribute('d', line);
            picture.append(path);
        }
        sign.append(picture, keys);

        return sign;
    }

    function place(names) {
        if (!host) {
            host = document.createElement('div');
            host.id = 'jibri-sip-signs';
            Object.assign(host.style, { position: 'fixed', left: '3vh', bottom: '3vh', zIndex: '2147483647',
                pointerEvents: 'none' });
        }
        const box = document.createElement('div');

        Object.assign(box.style, { display: 'flex', gap: '1.6vh' });
        box.append(...names.map(name => draw(SIGNS[name])));
        // Neither the page's style sheets nor its scripts reach in here.
        (host.shadowRoot || host.attachShadow({ mode: 'open' })).replaceChildren(box);
        // Not into the body, which is the page's own.
        document.documentElement.append(host);
    }

    function sound(tones) {
        const context = new AudioContext();

        tones.forEach((hz, index) => {
            const start = context.currentTime + (index * TONE_S);
            const tone = new OscillatorNode(context, { frequency: hz });
            const level = new GainNode(context, { gain: LOUDNESS });

            // Not to end with a click.
            level.gain.setTargetAtTime(0, start + (TONE_S * 0.8), TONE_S / 20);
            tone.connect(level).connect(context.destination);
            tone.start(start);
            tone.stop(start + TONE_S);
            if (index === tones.length - 1) {
                tone.onended = () => context.close();
            }
        });
    }

    /** How much of the room is on: microphone, camera, hand. */
    function activity({ audio, video, hand }) {
        return Number(!audio) + Number(!video) + Number(hand);
    }

    /**
     * Show these signs and no others.
     *
     * @param {{audio: boolean, video: boolean, hand: boolean}} wanted - Microphone off, camera off, hand up.
     */
    function show(wanted) {
        if (Object.keys(SIGNS).every(name => wanted[name] === shown[name])) {
            return;
        }
        const tones = activity(wanted) < activity(shown) ? TONES.falling : TONES.rising;

        shown = { ...wanted };
        place(Object.keys(SIGNS).filter(name => wanted[name]));
        sound(tones);
    }

    Object.defineProperty(window, 'jibriSipSigns', { value: Object.freeze({ show }) });
})();
