package httpapi

import (
	"slices"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// The provable logs, as paths name them.
func logNames() []string { return []string{"events", "access"} }

// log reads the path's log.
func (c *call) log() (string, error) {
	if name := c.param("log"); slices.Contains(logNames(), name) {
		return name, nil
	}
	return "", domain.Errorf(domain.CodeInvalidID, "a log is events or access")
}

// auditOwn authorizes what any auditor may have: hashes and signatures, which
// tell nothing of what was hashed.
func (c *call) auditOwn() error { return c.audit(domain.AccessExport, c.principal.Org) }

// getCheckpoint answers with a log's newest signed checkpoint.
func getCheckpoint(c *call) (answer, error) {
	log, err := c.log()
	if err != nil {
		return answer{}, err
	}
	c.access.Detail = log + " checkpoint"
	if err := c.auditOwn(); err != nil {
		return answer{}, err
	}
	note, err := c.config.Tiles.Checkpoint(c.ctx, log)
	if err != nil {
		return answer{}, err
	}
	return answer{contentType: wire.ContentText, raw: note}, c.allowed()
}

// getTile answers with a tile's hashes, or with the entries themselves. These
// are what every organization did, so they need an auditor of the whole
// server.
func getTile(c *call, t tile) (answer, error) {
	log, err := c.log()
	if err != nil {
		return answer{}, err
	}
	c.access.Detail = log + " tile/" + t.path()
	if t.entries {
		return c.getEntries(log, t)
	}
	if err := c.auditOwn(); err != nil {
		return answer{}, err
	}
	hashes, err := c.config.Tiles.Tile(c.ctx, log, t.level, t.index, t.width)
	if err != nil {
		return answer{}, err
	}
	return answer{contentType: wire.ContentOctets, raw: hashes}, c.allowed()
}

func (c *call) getEntries(log string, t tile) (answer, error) {
	c.access.Target = ""
	if err := c.audit(domain.AccessExport, ""); err != nil {
		return answer{}, err
	}
	entries, err := c.config.Tiles.Entries(c.ctx, log, t.index, t.width)
	if err != nil {
		return answer{}, err
	}
	return answer{contentType: wire.ContentOctets, raw: entries}, c.allowed()
}

// listLogKeys answers with the keys that checkpoints are verified with.
func listLogKeys(c *call) (answer, error) {
	c.access.Detail = "keys"
	if err := c.auditOwn(); err != nil {
		return answer{}, err
	}
	keys, err := c.config.Tiles.Keys(c.ctx)
	if err != nil {
		return answer{}, err
	}
	return success(append([]wire.LogKey{}, keys...)), c.allowed()
}
