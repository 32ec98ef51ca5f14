// Package workspace brings a project into a run's directory and says
// afterwards what became of it. It reads and writes through descriptors, one
// name at a time, and follows no link: what it copies may come from anywhere,
// and what it looks at later was in an agent's hands. It never runs git.
package workspace
