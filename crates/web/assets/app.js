// @ts-check
// Everything works without this script. With it pages change in place, new mail appears automatically, and keys work.
import { tellZone } from './zone.js';
import { installPages, refresh } from './pages.js';
import { installKeys } from './keys.js';
import { installLive } from './live.js';
import { fitFrames } from './frames.js';
import { installList } from './list.js';
import { installCompose } from './compose.js';
import { installPeople } from './people.js';
import { installSuggest } from './suggest.js';
import { installPasskeys } from './passkey.js';
import { installStrength } from './strength.js';

document.documentElement.classList.add('scripted');

/** The tab of the page shown is in view, where not all of them are. */
const showTab = () => document.querySelector('.tabs [aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' });

installPages(() => {
  showTab();
  fitFrames();
  installCompose();
  installPasskeys();
  installStrength();
});
installList();
installKeys();
installLive();
installSuggest();
installPeople();
showTab();
fitFrames();
installCompose();
if (tellZone()) void refresh();
