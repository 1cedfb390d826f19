/**
 * Is small so that a picture that the program has put into the page is on the
 * screen before the window's own script is read at all.
 */
import { followTheme, themeOf } from './app/theme';
import { openingInPage } from './backend/opening';
import { pictured } from './ui/painted';

const opening = openingInPage();
if (opening) followTheme(themeOf(opening.settings.theme))();
if (document.getElementById('app')?.firstElementChild) {
  void pictured().then(() => {
    performance.mark('picture');
    void import('./main');
  });
} else void import('./main');
