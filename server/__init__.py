"""Everything that touches the world, in layers whose imports point down."""
