"""The catalog's schema, one step after another; steps are only ever added."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final = (
    """
    CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE models (
        model_id TEXT PRIMARY KEY, source TEXT NOT NULL, outcome TEXT NOT NULL, file_sha256 TEXT, fingerprint TEXT,
        layers_file TEXT, first_release TEXT, record TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX models_by_file ON models (file_sha256);
    CREATE INDEX models_by_fingerprint ON models (fingerprint);
    CREATE TABLE layers (
        model_id TEXT NOT NULL, position INTEGER NOT NULL, layer_id TEXT NOT NULL, layer_sha256 TEXT,
        record TEXT NOT NULL, PRIMARY KEY (model_id, position)
    ) WITHOUT ROWID;
    CREATE INDEX layers_by_sha256 ON layers (layer_sha256);
    CREATE TABLE ledger (
        model_id TEXT NOT NULL, position INTEGER NOT NULL, tensor TEXT NOT NULL, shape TEXT NOT NULL,
        dtype TEXT NOT NULL, reason TEXT, PRIMARY KEY (model_id, position)
    ) WITHOUT ROWID;
    CREATE TABLE samples (layer_sha256 TEXT PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE layer_files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE selectors (
        selector_id TEXT PRIMARY KEY, source TEXT NOT NULL, selector TEXT, plugin TEXT, listed TEXT, n_offered INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE renames (
        source TEXT NOT NULL, new_name TEXT NOT NULL, model_id TEXT NOT NULL, old_name TEXT NOT NULL,
        seen TEXT NOT NULL, PRIMARY KEY (source, new_name)
    ) WITHOUT ROWID;
    CREATE TABLE withdrawn (model_id TEXT PRIMARY KEY, reason TEXT NOT NULL, withdrawn TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE sketches (
        layer_sha256 TEXT NOT NULL, kernel TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (layer_sha256, kernel)
    );
    """,
    """
    CREATE TABLE released (path TEXT PRIMARY KEY, sha256 TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE selectors ADD COLUMN ignored TEXT;
    """,
    """
    CREATE TABLE effective (model_id TEXT PRIMARY KEY, data BLOB NOT NULL);
    """,
    # What the published tables consist of, and what changed since they were written. They are all to be written anew.
    """
    ALTER TABLE models ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE models ADD COLUMN size INTEGER NOT NULL DEFAULT 1;
    UPDATE models SET
        place = place_of(model_id), size = 1 + (SELECT count(*) FROM layers WHERE layers.model_id = models.model_id);
    CREATE INDEX models_by_place ON models (coalesce(first_release, ''), place, size);
    ALTER TABLE layers ADD COLUMN preview_level INTEGER NOT NULL DEFAULT 0;
    UPDATE layers SET preview_level = preview_level(layer_id);
    CREATE INDEX layers_by_preview_level ON layers (preview_level);
    CREATE TABLE changed_models (model_id TEXT PRIMARY KEY, release_before TEXT) WITHOUT ROWID;
    CREATE TABLE changed_layers (layer_sha256 TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE shared_layers (
        layer_sha256 TEXT PRIMARY KEY, layer_id TEXT NOT NULL, n_sizes INTEGER NOT NULL, sketched TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE shared_files (fingerprint TEXT PRIMARY KEY, file TEXT) WITHOUT ROWID;
    CREATE TABLE parts (
        generation TEXT NOT NULL, bits TEXT NOT NULL, rows INTEGER NOT NULL, checkpoints INTEGER NOT NULL,
        counts TEXT NOT NULL, redistributable TEXT NOT NULL, PRIMARY KEY (generation, bits)
    ) WITHOUT ROWID;
    CREATE TABLE part_files (
        path TEXT PRIMARY KEY, part TEXT NOT NULL, rows INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX part_files_by_part ON part_files (part);
    INSERT INTO changed_models SELECT model_id, NULL FROM models;
    INSERT INTO changed_layers SELECT DISTINCT layer_sha256 FROM layers WHERE layer_sha256 IS NOT NULL;
    INSERT OR REPLACE INTO facts SELECT 'stale', '1' WHERE EXISTS (SELECT 1 FROM models);
    """,
    # What selectors list; see `listings.py`. The triggers keep what follows from the rows of `models`.
    """
    CREATE TABLE listed (
        selector_id TEXT NOT NULL, model_id TEXT NOT NULL, is_present INTEGER NOT NULL DEFAULT 0, offer BLOB,
        PRIMARY KEY (selector_id, model_id)
    ) WITHOUT ROWID;
    CREATE INDEX listed_by_model ON listed (model_id);
    INSERT INTO listed (selector_id, model_id)
        SELECT DISTINCT value, model_id FROM models, json_each(record, '$.selectors') WHERE value IS NOT NULL;
    ALTER TABLE selectors ADD COLUMN completed TEXT;
    CREATE TRIGGER models_inserted AFTER INSERT ON models BEGIN
        DELETE FROM listed WHERE model_id = new.model_id
            AND selector_id NOT IN (SELECT value FROM json_each(new.record, '$.selectors') WHERE value IS NOT NULL);
        INSERT INTO listed (selector_id, model_id)
            SELECT DISTINCT value, new.model_id FROM json_each(new.record, '$.selectors')
            WHERE value IS NOT NULL AND value NOT IN (SELECT selector_id FROM listed WHERE model_id = new.model_id);
        UPDATE listed SET offer = NULL WHERE model_id = new.model_id;
    END;
    CREATE TRIGGER models_updated AFTER UPDATE OF record ON models BEGIN
        DELETE FROM listed WHERE model_id = new.model_id
            AND selector_id NOT IN (SELECT value FROM json_each(new.record, '$.selectors') WHERE value IS NOT NULL);
        INSERT INTO listed (selector_id, model_id)
            SELECT DISTINCT value, new.model_id FROM json_each(new.record, '$.selectors')
            WHERE value IS NOT NULL AND value NOT IN (SELECT selector_id FROM listed WHERE model_id = new.model_id);
        UPDATE listed SET offer = NULL WHERE model_id = new.model_id;
    END;
    CREATE INDEX models_by_name ON models (
        source, coalesce(json_extract(record, '$._offered_as'), json_extract(record, '$.name'))
    );
    CREATE INDEX models_by_url ON models (json_extract(record, '$._url'));
    CREATE INDEX models_by_license ON models (json_extract(record, '$.license'))
        WHERE outcome NOT IN ('skipped', 'withdrawn');
    CREATE INDEX models_by_run ON models (source, json_extract(record, '$.run_id'))
        WHERE json_extract(record, '$.run_id') IS NOT NULL;
    CREATE INDEX models_by_layers_file ON models (layers_file) WHERE layers_file IS NOT NULL;
    """,
    # Of equal layers also where the first of them is; all of them are compared once more.
    """
    DROP TABLE shared_layers;
    CREATE TABLE shared_layers (
        layer_sha256 TEXT PRIMARY KEY, first_model_id TEXT NOT NULL, first_position INTEGER NOT NULL,
        layer_id TEXT NOT NULL, only_kernel TEXT, n_sizes INTEGER NOT NULL, sketched TEXT NOT NULL
    ) WITHOUT ROWID;
    INSERT OR IGNORE INTO changed_layers SELECT DISTINCT layer_sha256 FROM layers WHERE layer_sha256 IS NOT NULL;
    """,
    # What runs did and cost; see `runs.py`.
    """
    CREATE TABLE runs (run INTEGER PRIMARY KEY, record TEXT NOT NULL);
    """,
)
