"""The paper's section 4, remade: figures, tables and studies of the shipped spiral networks in one HTML file."""
