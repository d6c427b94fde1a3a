// @ts-check
// Everything works without this script. With it pages change in place, new mail shows by itself, and keys work.
import { tellZone } from './zone.js';
import { installPages, refresh } from './pages.js';
import { installKeys } from './keys.js';
import { installLive } from './live.js';
import { fitFrames, installList } from './list.js';
import { installCompose } from './compose.js';

document.documentElement.classList.add('scripted');

installPages(() => {
  fitFrames();
  installCompose();
});
installList();
installKeys();
installLive();
fitFrames();
installCompose();
if (tellZone()) void refresh();
