// The inventory's schema, as the steps that lead to it.
// Owns the order: step N brings a database from `user_version` N - 1 to N.
// Never changes a step that was ever released: a mistake is mended by a further step.

export const migrations: readonly string[] = [
  // 1: guests, and how their runs ended. The settings are one JSON document, whose schema is the contract's.
  `CREATE TABLE guests (
     id TEXT PRIMARY KEY,
     name TEXT NOT NULL UNIQUE COLLATE NOCASE,
     settings TEXT NOT NULL CHECK (json_valid(settings)),
     created_at INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE runs (
     id INTEGER PRIMARY KEY,
     guest_id TEXT NOT NULL REFERENCES guests (id) ON DELETE CASCADE,
     started_at INTEGER NOT NULL,
     ended_at INTEGER,
     reason TEXT,
     detail TEXT,
     CHECK ((ended_at IS NULL) = (reason IS NULL) AND (ended_at IS NULL) = (detail IS NULL))
   ) STRICT;
   CREATE INDEX runs_by_guest ON runs (guest_id, id);`,
  // 2: images of OS-level guests. Two names may stand for one image; layers are in the store, by the digests in here.
  `CREATE TABLE images (
     name TEXT PRIMARY KEY COLLATE NOCASE,
     id TEXT NOT NULL,
     image TEXT NOT NULL CHECK (json_valid(image)),
     created_at INTEGER NOT NULL
   ) STRICT;`,
  // 3: settings of the home as a whole, each a JSON value.
  `CREATE TABLE home_settings (
     name TEXT PRIMARY KEY,
     value TEXT NOT NULL CHECK (json_valid(value))
   ) STRICT;`,
  // 4: guests whose state is saved. What is known of it is one JSON document (saved-states.ts); the state is a file.
  `ALTER TABLE guests ADD COLUMN saved TEXT CHECK (saved IS NULL OR json_valid(saved));`,
  // 5: snapshots of guests, and which one a guest is right behind.
  `CREATE TABLE snapshots (
     id TEXT PRIMARY KEY,
     guest_id TEXT NOT NULL REFERENCES guests (id) ON DELETE CASCADE,
     parent TEXT,
     name TEXT NOT NULL COLLATE NOCASE,
     created_at INTEGER NOT NULL,
     settings TEXT NOT NULL CHECK (json_valid(settings)),
     saved TEXT CHECK (saved IS NULL OR json_valid(saved)),
     UNIQUE (guest_id, name)
   ) STRICT;
   ALTER TABLE guests ADD COLUMN snapshot TEXT;`,
  // 6: what guests, and the subject `host`, used: rings, whose places are overwritten turn by turn (usage-table.ts).
  `CREATE TABLE usage (
     subject TEXT NOT NULL,
     ring INTEGER NOT NULL,
     slot INTEGER NOT NULL,
     at INTEGER NOT NULL,
     seconds REAL NOT NULL,
     figures BLOB NOT NULL,
     PRIMARY KEY (subject, ring, slot)
   ) STRICT, WITHOUT ROWID;
   CREATE TRIGGER usage_of_removed AFTER DELETE ON guests BEGIN
     DELETE FROM usage WHERE subject = old.id;
   END;`,
];
