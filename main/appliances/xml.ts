// XML as descriptors of appliances need it (XML 1.0, Namespaces 1.0): elements, attributes and text, and nothing that expands.
// Owns the bounds on what is read: a descriptor comes from anywhere.
// Never knows what an element means.

import { Failure } from '../contract.ts';

/** Deeper than descriptors are nested, and more than they have: what a hostile one would exhaust memory with. */
const DEPTH_MAX = 64;
const ELEMENTS_MAX = 50_000;
const ATTRIBUTES_MAX = 64;

export interface XmlElement {
  /** The namespace's URI; empty: none. */
  space: string;
  name: string;
  /** By `URI name`, or the name alone where it has no prefix. */
  attributes: ReadonlyMap<string, string>;
  children: readonly XmlElement[];
  /** All text right within it, without the white space around it. */
  text: string;
}

const NAME = /[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?/y;
const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/** What may be in a text at all (XML 1.0, 2.2). */
const isCharacter = (code: number): boolean =>
  code === 9 || code === 10 || code === 13 || (code >= 0x20 && code < 0xd800) || (code >= 0xe000 && code <= 0x10ffff);

/** Reads a document. Throws a {@link Failure} with one sentence where it is none, or has what is not taken. */
export function parseXml(text: string, file: string): XmlElement {
  return new Reader(text, file).document();
}

class Reader {
  readonly #text: string;
  readonly #file: string;
  #at = 0;
  #elements = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
  }

  document(): XmlElement {
    if (this.#text.charCodeAt(0) === 0xfeff) this.#at = 1;
    this.#skipBetween();
    if (this.#text[this.#at] !== '<') this.#wrong('it does not begin as XML');
    const root = this.#element(new Map([['xml', 'http://www.w3.org/XML/1998/namespace']]), 1);
    this.#skipBetween();
    if (this.#at < this.#text.length) this.#wrong('something follows its last element');
    return root;
  }

  #wrong(what: string): never {
    const line = this.#text.slice(0, this.#at).split('\n').length;
    throw new Failure('wrong', `${this.#file} is no descriptor that can be read: ${what} (line ${line}).`);
  }

  #isHere(word: string): boolean {
    return this.#text.startsWith(word, this.#at);
  }

  #skipTo(end: string, what: string): string {
    const found = this.#text.indexOf(end, this.#at);
    if (found < 0) this.#wrong(`${what} is not closed`);
    const inside = this.#text.slice(this.#at, found);
    this.#at = found + end.length;
    return inside;
  }

  #skipSpace(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++;
  }

  /** White space, comments and instructions, which mean nothing here. A document type is refused: only it can expand. */
  #skipBetween(): void {
    for (;;) {
      this.#skipSpace();
      if (this.#isHere('<!--')) this.#skipTo('-->', 'a comment');
      else if (this.#isHere('<?')) this.#skipTo('?>', 'an instruction');
      else if (this.#isHere('<!')) this.#wrong('it has a document type declaration, which none needs');
      else return;
    }
  }

  #name(): string {
    NAME.lastIndex = this.#at;
    const name = NAME.exec(this.#text)?.[0];
    if (name === undefined) this.#wrong('a name is missing or has characters of other scripts');
    this.#at += name.length;
    return name;
  }

  #element(outer: ReadonlyMap<string, string>, depth: number): XmlElement {
    if (depth > DEPTH_MAX) this.#wrong(`its elements are nested more than ${DEPTH_MAX} deep`);
    if (++this.#elements > ELEMENTS_MAX) this.#wrong(`it has more than ${ELEMENTS_MAX} elements`);
    this.#at++;
    const full = this.#name();
    const given = this.#attributes();
    const spaces = new Map(outer);
    for (const [name, value] of given) {
      if (name === 'xmlns') spaces.set('', value);
      else if (name.startsWith('xmlns:')) spaces.set(name.slice(6), value);
    }
    const attributes = new Map<string, string>();
    for (const [name, value] of given) {
      if (/^xmlns(:|$)/.test(name)) continue;
      const colon = name.indexOf(':');
      attributes.set(colon < 0 ? name : `${this.#space(spaces, name.slice(0, colon))} ${name.slice(colon + 1)}`, value);
    }
    const colon = full.indexOf(':');
    const space = colon < 0 ? (spaces.get('') ?? '') : this.#space(spaces, full.slice(0, colon));
    const children: XmlElement[] = [];
    const texts: string[] = [];
    if (this.#isHere('/>')) this.#at += 2;
    else if (this.#isHere('>')) {
      this.#at++;
      this.#content(full, spaces, depth, children, texts);
    } else this.#wrong(`the element ${full} is not closed`);
    return { space, name: full.slice(colon + 1), attributes, children, text: texts.join('').trim() };
  }

  #space(spaces: ReadonlyMap<string, string>, prefix: string): string {
    return spaces.get(prefix) ?? this.#wrong(`the prefix ${prefix} stands for no namespace`);
  }

  #attributes(): Map<string, string> {
    const found = new Map<string, string>();
    for (;;) {
      const before = this.#at;
      this.#skipSpace();
      if (this.#isHere('>') || this.#isHere('/>')) return found;
      if (this.#at === before) this.#wrong('an attribute is not where one can be');
      const name = this.#name();
      this.#skipSpace();
      if (this.#text[this.#at++] !== '=') this.#wrong(`the attribute ${name} has no value`);
      this.#skipSpace();
      const quote = this.#text[this.#at++];
      if (quote !== '"' && quote !== "'") this.#wrong(`the value of ${name} is not in quotes`);
      const value = this.#skipTo(quote, `the value of ${name}`);
      if (value.includes('<')) this.#wrong(`the value of ${name} has a <`);
      if (found.has(name)) this.#wrong(`the attribute ${name} is there twice`);
      if (found.size >= ATTRIBUTES_MAX) this.#wrong(`an element has more than ${ATTRIBUTES_MAX} attributes`);
      found.set(name, this.#unescape(value));
    }
  }

  #content(
    full: string,
    spaces: ReadonlyMap<string, string>,
    depth: number,
    children: XmlElement[],
    texts: string[],
  ): void {
    for (;;) {
      const next = this.#text.indexOf('<', this.#at);
      if (next < 0) this.#wrong(`the element ${full} is not closed`);
      if (next > this.#at) texts.push(this.#unescape(this.#text.slice(this.#at, next)));
      this.#at = next;
      if (this.#isHere('</')) {
        this.#at += 2;
        const name = this.#name();
        if (name !== full) this.#wrong(`${full} is closed by ${name}`);
        this.#skipSpace();
        if (this.#text[this.#at++] !== '>') this.#wrong(`the end of ${full} is not one`);
        return;
      }
      if (this.#isHere('<!--')) this.#skipTo('-->', 'a comment');
      else if (this.#isHere('<![CDATA[')) {
        this.#at += 9;
        texts.push(this.#skipTo(']]>', 'a CDATA section'));
      } else if (this.#isHere('<?')) this.#skipTo('?>', 'an instruction');
      else if (this.#isHere('<!')) this.#wrong('it has a declaration, which none needs');
      else children.push(this.#element(spaces, depth + 1));
    }
  }

  #unescape(text: string): string {
    if (!text.includes('&')) return text;
    return text.replace(/&([^;&\s]{0,16});|&/g, (_, entity: string | undefined) => {
      if (entity === undefined) this.#wrong('an & stands for itself');
      const known = Object.hasOwn(ENTITIES, entity) ? ENTITIES[entity] : undefined;
      if (known !== undefined) return known;
      const [, hexadecimal, decimal] = /^#(?:x([\da-fA-F]{1,6})|(\d{1,7}))$/.exec(entity) ?? [];
      const code = hexadecimal ? Number.parseInt(hexadecimal, 16) : decimal ? Number(decimal) : Number.NaN;
      if (!isCharacter(code)) this.#wrong(`the entity &${entity}; is unknown`);
      return String.fromCodePoint(code);
    });
  }
}

/** A text as the content of an element or a value in double quotes. What XML cannot hold becomes U+FFFD. */
export function xmlText(text: string): string {
  return Array.from(text, (character) => (isCharacter(character.codePointAt(0)!) ? character : '\ufffd'))
    .join('')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
