// @ts-check
// Everything works without this script. With it pages change in place, new mail shows by itself, and keys work.
import { installPages } from './pages.js';
import { installKeys } from './keys.js';
import { installLive } from './live.js';
import { fitFrames, installList } from './list.js';
import { installCompose } from './compose.js';

document.documentElement.classList.add('scripted');

// The server writes dates in the reader's zone: it learns the zone from this cookie.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.includes(`tz=${zone}`)) {
  document.cookie = `tz=${zone};path=/;max-age=31536000;samesite=lax`;
}

installPages(() => {
  fitFrames();
  installCompose();
});
installList();
installKeys();
installLive();
fitFrames();
installCompose();
