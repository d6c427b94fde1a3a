// @ts-check
// Everything works without this script. With it pages change in place, new mail appears automatically, and keys work.
import { tellZone } from './zone.js';
import { installPages, refresh } from './pages.js';
import { installKeys } from './keys.js';
import { installLive } from './live.js';
import { fitFrames } from './frames.js';
import { installList } from './list.js';
import { installCompose } from './compose.js';
import { installSuggest } from './suggest.js';

document.documentElement.classList.add('scripted');

/** The tab of the page shown is in view, where not all of them are. */
const showTab = () => document.querySelector('.tabs [aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' });

/** What few pages have is fetched by those alone. */
const installFurther = () => {
  const has = (/** @type {string} */ selector) => document.querySelector(selector) !== null;
  if (has('form[data-passkey]')) void import('./passkey.js').then((passkey) => passkey.installPasskeys());
  if (has('[data-another], [data-shrinks]')) void import('./people.js').then((people) => people.installPeople());
  if (has('[data-strength]')) void import('./strength.js').then((strength) => strength.installStrength());
};

installPages(() => {
  showTab();
  fitFrames();
  installCompose();
  installFurther();
});
installList();
installKeys();
installLive();
installSuggest();
showTab();
fitFrames();
installCompose();
installFurther();
if (tellZone()) void refresh();
