"""What follows the measuring: proofs, refinement, attribution, pictures."""
