// Package idle gives memory back that a process at rest does not need: what
// only its start needed, and what it had at its peak.
package idle
