/**
 * Is small so that a picture that the program has put into the page is on the
 * screen before the window's own script is read at all.
 */
import { pictured } from './ui/painted';

if (document.getElementById('app')?.firstElementChild) {
  void pictured().then(() => {
    performance.mark('picture');
    void import('./main');
  });
} else void import('./main');
