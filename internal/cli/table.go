package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is rows of cells in columns, for people: every cell is escaped, since
// names come from manifests and hosts from bottles.
type table struct {
	w      io.Writer
	header int // rows
	rows   [][]string
}

// table starts one; without headings it is a sheet of labels and values.
func (a *App) table(headings ...string) *table {
	t := &table{w: a.Out}
	if len(headings) > 0 {
		t.add(headings...)
		t.header = 1
	}
	return t
}

func (t *table) add(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = escape(cell)
	}
	t.rows = append(t.rows, row)
}

// write prints the rows, every column as wide as its widest cell.
func (t *table) write() error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(row)-1 {
				b.WriteString(cell)
				break
			}
			b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteByte('\n')
	}
	_, err := fmt.Fprint(t.w, b.String())
	return err
}
