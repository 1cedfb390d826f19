/**
 * Runs before anything is painted, and is small for that reason: a picture that
 * the program has put into the page is on the screen before the window's own
 * script is read at all.
 */
import { followTheme, themeOf } from './app/theme';
import { openingInPage } from './backend/opening';
import { painted } from './ui/painted';

const opening = openingInPage();
if (opening) followTheme(themeOf(opening.settings.theme))();
if (document.getElementById('app')?.firstElementChild) {
  void painted().then(() => {
    performance.mark('picture');
    void import('./main');
  });
} else void import('./main');
