import log from 'log';

export function shout(words) {
  log(`shouting ${words.length}`);
  if (words.length === 0) throw 'nothing to say';
  return words.join(' ').toUpperCase() + '!';
}
