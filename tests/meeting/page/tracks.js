/**
 * The microphone and the camera.
 */

async function deviceId(kind, label) {
    if (!label) {
        return undefined;
    }
    const devices = await navigator.mediaDevices.enumerateDevices();

    return devices.find(device => device.kind === kind && device.label === label)?.deviceId;
}

/** Open devices ('audio', 'video'); 720p at 30 frames a second. Audio processing is as config's disableAEC, … say. */
export async function openTracks(devices, settings) {
    const height = settings.config.resolution ?? 720;

    return JitsiMeetJS.createLocalTracks({
        devices,
        resolution: height,
        constraints: {
            video: {
                width: { ideal: Math.round(height * 16 / 9) },
                height: { ideal: height, max: height, min: 180 },
                frameRate: { max: 30 }
            }
        },
        cameraDeviceId: await deviceId('videoinput', settings.cameraLabel),
        micDeviceId: await deviceId('audioinput', settings.microphoneLabel)
    });
}

/** Open both, else whichever there is: a participant without a camera still takes part. */
export async function openWhatThereIs(settings) {
    try {
        return await openTracks([ 'audio', 'video' ], settings);
    } catch (error) {
        console.warn('camera and microphone:', error);
    }
    const attempts = [ 'audio', 'video' ].map(device => openTracks([ device ], settings).catch(() => []));

    return (await Promise.all(attempts)).flat();
}
