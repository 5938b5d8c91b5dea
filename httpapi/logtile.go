package httpapi

import (
	"fmt"
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// tileWidth is how many hashes or entries a whole tile has (C2SP tlog-tiles).
const tileWidth = 256

// tile names a tile or an entry bundle.
type tile struct {
	entries bool
	level   int // 0 to 63; of hashes alone
	index   uint64
	width   int // 1 to 256
}

// path writes it as C2SP tlog-tiles does, behind "tile/".
func (t tile) path() string {
	level := "entries"
	if !t.entries {
		level = fmt.Sprint(t.level)
	}
	n := fmt.Sprintf("%03d", t.index%1000)
	for rest := t.index / 1000; rest > 0; rest /= 1000 {
		n = fmt.Sprintf("x%03d/%s", rest%1000, n)
	}
	if t.width < tileWidth {
		n += fmt.Sprintf(".p/%d", t.width)
	}
	return level + "/" + n
}

// parseTile reads the segments of a path behind "tile/": a level or the word
// entries, the index in groups of three digits, all but the last behind an x,
// and of a partial tile ".p" and its width. Each tile has one spelling.
func parseTile(level string, segments []string) (tile, bool) {
	t := tile{width: tileWidth, entries: level == "entries"}
	if !t.entries {
		n, ok := wire.ParseUint(level)
		if !ok || n > 63 {
			return tile{}, false
		}
		t.level = int(n)
	}
	if n := len(segments); n > 1 && strings.HasSuffix(segments[n-2], ".p") {
		width, ok := wire.ParseUint(segments[n-1])
		if !ok || width == 0 || width >= tileWidth {
			return tile{}, false
		}
		t.width = int(width)
		segments = append(segments[:n-2:n-2], strings.TrimSuffix(segments[n-2], ".p"))
	}
	for i, s := range segments {
		if i < len(segments)-1 {
			var ok bool
			if s, ok = strings.CutPrefix(s, "x"); !ok || i == 0 && s == "000" {
				return tile{}, false
			}
		}
		if len(s) != 3 || strings.Trim(s, "0123456789") != "" {
			return tile{}, false
		}
		t.index = t.index*1000 + uint64(s[0]-'0')*100 + uint64(s[1]-'0')*10 + uint64(s[2]-'0')
	}
	return t, len(segments) > 0
}

// tileRoutes are the routes of tiles by their number of segments: a path
// parameter holds no slash. Three for the index name 256 thousand million
// leaves.
func tileRoutes() []route {
	routes := make([]route, 0, maxTileSegments)
	path := "/log/{log}/tile/{level}"
	for n := 1; n <= maxTileSegments; n++ {
		path += fmt.Sprintf("/{n%d}", n)
		name := "getLogTile"
		if n > 1 {
			name += fmt.Sprint(n)
		}
		routes = append(routes, route{method: "GET", path: path, name: name, handler: tileHandler(n)})
	}
	return routes
}

const maxTileSegments = 4

func tileHandler(segments int) func(*call) (answer, error) {
	return func(c *call) (answer, error) {
		var path []string
		for n := 1; n <= segments; n++ {
			path = append(path, c.param(fmt.Sprintf("n%d", n)))
		}
		t, ok := parseTile(c.param("level"), path)
		if !ok {
			return answer{}, domain.Errorf(domain.CodeInvalidID, "a tile is named as C2SP tlog-tiles does: tile/0/x001/067.p/12")
		}
		return getTile(c, t)
	}
}
